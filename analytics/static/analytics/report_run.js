// Fetches the result of a report, so that its page is there at once, and ends the run when somebody cancels it.
"use strict";

{
    const place = document.getElementById("report-run");
    const outcome = document.getElementById("report-outcome");
    const running = document.getElementById("report-running");
    const seconds = document.getElementById("report-seconds");
    const status = document.getElementById("report-status");
    const abort = new AbortController();
    const began = Date.now();

    const say = (text) => {
        const note = document.createElement("p");
        note.className = "report-warning";
        note.textContent = text;
        outcome.replaceChildren(note);
        status.textContent = text;
    };

    const passed = () => Math.round((Date.now() - began) / 1000);

    const run = async () => {
        const clock = setInterval(() => { seconds.textContent = passed(); }, 1000);
        running.hidden = false;
        status.textContent = "The report is running.";
        running.scrollIntoView({block: "nearest"});  // on a small screen the form fills it
        place.setAttribute("aria-busy", "true");
        try {
            const response = await fetch(place.dataset.result, {signal: abort.signal, credentials: "same-origin"});
            if (response.redirected) {  // to the log-in
                window.location.reload();
                return;
            }
            if (!response.headers.has("Report-Result")) {
                say(`The server could not run the report (${response.status}). Try again.`);
                return;
            }
            outcome.innerHTML = await response.text();
            status.textContent = "The result is there.";
            if (place.getBoundingClientRect().top > window.innerHeight / 2) {
                place.scrollIntoView({block: "start"});
            }
        } catch (error) {
            say(abort.signal.aborted ? `Cancelled after ${passed()} seconds.` : "The connection to the server was lost.");
        } finally {
            clearInterval(clock);
            running.hidden = true;
            place.removeAttribute("aria-busy");
        }
    };

    running.addEventListener("submit", (event) => {
        event.preventDefault();
        // Leaving ends the run too, where the server notices; this does everywhere.
        fetch(running.action, {method: "POST", body: new FormData(running), credentials: "same-origin", keepalive: true})
            .catch(() => {});
        abort.abort();
    });

    run();
}
