// Show the OpenAPI document with Swagger UI or ReDoc, in the theme of the back office.
"use strict";

{
    const chosen = JSON.parse(localStorage.getItem("adminTheme") || '"auto"');
    const system = matchMedia("(prefers-color-scheme: dark)");

    const isDark = () => (chosen === "auto" ? system.matches : chosen === "dark");

    const showTheme = () => {
        document.documentElement.classList.toggle("dark", isDark());
        document.documentElement.classList.toggle("dark-mode", isDark()); // for Swagger UI
        document.documentElement.classList.toggle("light", !isDark());
    };

    const cookie = (name) =>
        document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";

    // The API accepts the session of staff, and their CSRF token with requests that write.
    const addToken = (request) => {
        if (!["GET", "HEAD", undefined].includes(request.method)) {
            request.headers["X-CSRFToken"] = cookie("csrftoken");
        }
        return request;
    };

    const showSwagger = (element) => {
        SwaggerUIBundle({
            url: element.dataset.url,
            domNode: element,
            deepLinking: true,
            layout: "BaseLayout",
            presets: [SwaggerUIBundle.presets.apis],
            requestInterceptor: addToken,
        });
    };

    const DARK = {
        colors: {
            border: { dark: "#364153", light: "#4a5565" },
            primary: { main: "#93cffc" },
            text: { primary: "#f3f4f6", secondary: "#d1d5dc" },
        },
        schema: { linesColor: "#93cffc", nestedBackground: "#1e2939", typeNameColor: "#d1d5dc", typeTitleColor: "#93cffc" },
        sidebar: { activeTextColor: "#93cffc", backgroundColor: "#1e2939", textColor: "#f3f4f6" },
        typography: {
            code: { backgroundColor: "#1e2939", color: "#ffb4a9" },
            links: { color: "#93cffc", hover: "#bfe1fe", visited: "#93cffc" },
        },
        rightPanel: { backgroundColor: "#0b1220", textColor: "#f3f4f6" },
    };

    // ReDoc's sidebar would load its maker's logo from another host. React sets `src` both as attribute and as property.
    const loadOnlyOwnImages = () => {
        const image = HTMLImageElement.prototype;
        const isOwn = (url) => new URL(url, location.href).origin === location.origin;
        const { set } = Object.getOwnPropertyDescriptor(image, "src");
        const setAttribute = image.setAttribute;
        Object.defineProperty(image, "src", { set(url) { isOwn(url) && set.call(this, url); } });
        image.setAttribute = function (name, value) {
            if (name !== "src" || isOwn(value)) {
                setAttribute.call(this, name, value);
            }
        };
    };

    const showRedoc = (element) => {
        loadOnlyOwnImages();
        Redoc.init(element.dataset.url, { theme: isDark() ? DARK : {} }, element);
    };

    showTheme();
    system.addEventListener("change", showTheme);
    const swagger = document.getElementById("swagger-ui");
    if (swagger) {
        showSwagger(swagger);
    } else {
        showRedoc(document.getElementById("redoc"));
    }
}
