// Fetches the result of a report after its page has loaded, and cancels the run on request.
"use strict";

{
    const container = document.getElementById("report-run");
    const outcome = document.getElementById("report-outcome");
    const running = document.getElementById("report-running");
    const seconds = document.getElementById("report-seconds");
    const status = document.getElementById("report-status");
    const abort = new AbortController();
    const startedAt = Date.now();

    const showWarning = (text) => {
        const warning = document.createElement("p");
        warning.className = "report-warning";
        warning.textContent = text;
        outcome.replaceChildren(warning);
        status.textContent = text;
    };

    const elapsedSeconds = () => Math.round((Date.now() - startedAt) / 1000);

    const elapsedText = () => `${elapsedSeconds()} second${elapsedSeconds() === 1 ? "" : "s"}`;

    const run = async () => {
        const clock = setInterval(() => { seconds.textContent = elapsedSeconds(); }, 1000);
        running.hidden = false;
        status.textContent = "The report is running.";
        running.scrollIntoView({block: "nearest"});  // the form fills a small screen
        container.setAttribute("aria-busy", "true");
        try {
            const response = await fetch(container.dataset.result, {signal: abort.signal, credentials: "same-origin"});
            if (response.redirected) {  // to the login page
                window.location.reload();
                return;
            }
            if (!response.headers.has("Report-Result")) {
                showWarning(`The server could not run the report (${response.status}). Try again.`);
                return;
            }
            outcome.innerHTML = await response.text();
            window.drawCharts?.(outcome);
            const failed = outcome.querySelector("[role=alert]") !== null;
            status.textContent = failed ? "The report failed." : "The report has finished.";
            if (container.getBoundingClientRect().top > window.innerHeight / 2) {
                container.scrollIntoView({block: "start"});
            }
        } catch (error) {
            showWarning(abort.signal.aborted ? `Cancelled after ${elapsedText()}.` : "The connection to the server was lost.");
        } finally {
            clearInterval(clock);
            running.hidden = true;
            container.removeAttribute("aria-busy");
        }
    };

    running.addEventListener("submit", (event) => {
        event.preventDefault();
        // Some servers do not notice that the fetch was aborted, so ask for the cancellation explicitly.
        fetch(running.action, {method: "POST", body: new FormData(running), credentials: "same-origin", keepalive: true})
            .catch(() => {});
        abort.abort();
    });

    run();
}
