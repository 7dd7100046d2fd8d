// Make unfold's pages work with the keyboard and with screen readers: clickable elements become buttons with a name,
// icons are hidden from screen readers, and fields that only have a placeholder get a label.
"use strict";

{
    const BUTTON_NAMES = {  // by icon
        dock_to_right: "Show or hide the menu",
        calendar_today: "Choose a date",
        schedule: "Choose a time",
        close: "Close",
        filter_list: "Filters",
        computer: "Theme: same as the system",
        light_mode: "Theme: light",
        dark_mode: "Theme: dark",
        search: "Search",
        expand_more: "Expand",
        more_horiz: "More",
        more_vert: "More",
        storefront: "Home",
    };
    const CLICKABLE = "[x-on\\:click]:is(span, div, h2, td, a:not([href]))";
    const BACKDROPS = "#changelist-filter-close";

    const nameOf = (element) => BUTTON_NAMES[element.textContent.trim()];

    const makeAccessible = () => {
        for (const element of document.querySelectorAll(CLICKABLE)) {
            if (element.matches(BACKDROPS) || element.closest("[role=button], button, label") !== null) {
                continue;
            }
            element.setAttribute("role", "button");
            element.tabIndex = 0;
            if (nameOf(element)) {
                element.setAttribute("aria-label", nameOf(element));
            }
        }
        for (const button of document.querySelectorAll("button:not([aria-label]), a:not([aria-label])")) {
            if (nameOf(button)) {
                button.setAttribute("aria-label", nameOf(button));
            }
        }
        for (const icon of document.querySelectorAll(".material-symbols-outlined:not([role], [aria-hidden])")) {
            icon.setAttribute("aria-hidden", "true");
        }
        for (const field of document.querySelectorAll("input[placeholder], textarea[placeholder]")) {
            if (field.labels.length === 0 && !field.hasAttribute("aria-label")) {
                field.setAttribute("aria-label", field.placeholder);
            }
        }
    };

    document.addEventListener("keydown", (event) => {
        const element = event.target;
        if ((event.key === "Enter" || event.key === " ") && element.matches(`${CLICKABLE}[role=button]`)) {
            event.preventDefault();
            element.click();
        }
    });
    // Keep the focus in the filters of a list while they are open. Then return it to the button that opened them.
    const holdFocus = () => {
        const dialog = document.getElementById("changelist-filter");
        let isOpen = false, opener = null;
        new MutationObserver(() => {
            if ((dialog.style.display !== "none") === isOpen) {
                return;
            }
            isOpen = !isOpen;
            opener = isOpen ? document.activeElement : opener;
            for (let part = dialog; part !== document.body; part = part.parentElement) {
                for (const other of part.parentElement.children) {
                    other.inert = isOpen && other !== part;
                }
            }
            (isOpen ? dialog.querySelector("button") : opener).focus();
        }).observe(dialog, {attributeFilter: ["style"]});
    };
    // Escape in an open list of choices closes that list, and not the filters around it.
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && event.defaultPrevented) {
            event.stopPropagation();
        }
    });

    document.addEventListener("DOMContentLoaded", makeAccessible);
    document.addEventListener("DOMContentLoaded", () => document.getElementById("changelist-filter") && holdFocus());
    document.addEventListener("htmx:afterSettle", makeAccessible);
}
