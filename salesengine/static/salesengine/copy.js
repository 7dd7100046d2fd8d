// Copy the text of an element: <button data-copy="ID">. If the browser does not allow that, select the text.
"use strict";

{
    const select = (element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
    };

    const copy = async (element) => {
        try {
            await navigator.clipboard.writeText(element.textContent);  // undefined without TLS
            return "Copied.";
        } catch {
            select(element);
            return "Selected. Press Ctrl+C (on a Mac ⌘C) to copy.";
        }
    };

    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        if (button !== null) {
            const message = await copy(document.getElementById(button.dataset.copy));
            document.getElementById("copy-status").textContent = message;
        }
    });
}
