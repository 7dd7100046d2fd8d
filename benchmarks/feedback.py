"""Measure GET /feedback with few and with many sales, and compare it with an endpoint that does nothing.

    .venv/bin/python -m benchmarks.feedback [NUMBER OF SALES]

One run measures both sizes and both endpoints, one request after another on one connection. Compare the ratios: the
absolute times depend on the machine.
"""

from statistics import median
from sys import argv

from benchmarks.service import Service, seconds, service

FEW, MANY = 2_000, 2_000_000
ROUNDS = 2_000


def main(many: int = MANY) -> None:
    with service() as measured:
        measured.manage("load_demo", "--sales", str(FEW))
        few_times = measure(measured)
        measured.manage("load_demo", "--sales", str(many - FEW), "--seed", "2", "--append")
        measured.manage("verify_feedback")
        many_times = measure(measured)
    print(f"{'median of ' + format(ROUNDS, ','):<28}{FEW:>14,} sales{many:>14,} sales")
    for path in few_times:
        print(f"{path:<28}{few_times[path] * 1000:>17.2f} ms{many_times[path] * 1000:>17.2f} ms")
    print(f"feedback, many / few sales   {many_times['/feedback'] / few_times['/feedback']:.2f}")
    print(f"feedback / nothing           {many_times['/feedback'] / many_times['/nothing']:.2f}")


def measure(measured: Service) -> dict[str, float]:
    """Return the median time of each endpoint in seconds. The endpoints take turns."""
    paths = ("/nothing", "/feedback")
    with measured.serving():
        connection = measured.connect()
        times = [[seconds(connection, path) for path in paths] for _ in range(ROUNDS + 200)]
        connection.close()
    return dict(zip(paths, map(median, zip(*times[200:], strict=True)), strict=True))  # the first 200 are a warm-up


if __name__ == "__main__":
    main(*map(int, argv[1:]))
