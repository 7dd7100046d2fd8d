"""How long GET /feedback takes with few and with many sales, beside an endpoint that does nothing.

    .venv/bin/python -m benchmarks.feedback

Both sizes and both endpoints are measured in one run, request after request on one connection. Absolute times are the
machine's; the ratios are what counts.
"""

from statistics import median
from sys import argv

from benchmarks.service import Service, seconds, service

FEW, MANY = 2_000, 2_000_000
ROUNDS = 2_000


def main(many: int = MANY) -> None:
    with service() as measured:
        measured.manage("load_demo", "--sales", str(FEW))
        few = measure(measured)
        measured.manage("load_demo", "--sales", str(many - FEW), "--seed", "2", "--append")
        measured.manage("verify_feedback")
        lots = measure(measured)
    print(f"{'median of ' + format(ROUNDS, ','):<28}{FEW:>14,} sales{many:>14,} sales")
    for address in few:
        print(f"{address:<28}{few[address] * 1000:>17.2f} ms{lots[address] * 1000:>17.2f} ms")
    print(f"feedback, many against few   {lots['/feedback'] / few['/feedback']:.2f}")
    print(f"feedback against nothing     {lots['/feedback'] / lots['/nothing']:.2f}")


def measure(measured: Service) -> dict[str, float]:
    """The median time of each endpoint, in seconds, measured in turns."""
    addresses = ("/nothing", "/feedback")
    with measured.serving():
        connection = measured.connect()
        times = [[seconds(connection, address) for address in addresses] for _ in range(ROUNDS + 200)]
        connection.close()
    return dict(zip(addresses, map(median, zip(*times[200:], strict=True)), strict=True))  # the first are warm-up


if __name__ == "__main__":
    main(*map(int, argv[1:]))
