// Draws the charts of a page with Chart.js, from the JSON beside each canvas (salesengine/backoffice/charts.py).
"use strict";

{
    const LABEL_LENGTH = 18;  // characters of a label on the x axis; the tooltip has the whole label
    const MAX_DOTS = 40;  // of one line: more would hide it
    const DASHED = [4, 5, 6];  // lines that differ from the first ones by more than their color
    const COMPACT_FROM = 1e7;  // larger numbers on the y axis are written as 10M or 2B
    const compact = new Intl.NumberFormat("en-US", {notation: "compact"});
    const charts = [];

    const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    // Canvases know no CSS, so their colors are set again when the theme changes.
    const paint = (chart) => {
        chart.data.datasets.forEach((dataset, index) => {
            dataset.backgroundColor = dataset.borderColor = cssVariable(`--chart-${index + 1}`);
        });
        const textColor = cssVariable("--body-quiet-color");
        for (const scale of Object.values(chart.options.scales)) {
            scale.ticks.color = textColor;
            scale.grid.color = scale.border.color = cssVariable("--hairline-color");
        }
        chart.options.plugins.legend.labels.color = textColor;
        chart.update();
    };

    const shortLabel = function (value) {
        const label = this.getLabelForValue(value);
        return label.length > LABEL_LENGTH ? `${label.slice(0, LABEL_LENGTH - 1).trimEnd()}…` : label;
    };

    const yText = (unit) => function (value, index, ticks) {
        const isLarge = Math.max(Math.abs(this.min), Math.abs(this.max)) >= COMPACT_FROM;
        return (isLarge ? compact.format(value) : Chart.Ticks.formatters.numeric.call(this, value, index, ticks)) + unit;
    };

    // A value between two gaps has no line, so it is a dot however many values there are.
    const dotRadius = ({dataIndex, dataset: {data}}) => {
        const isAlone = (data[dataIndex - 1] ?? null) === null && (data[dataIndex + 1] ?? null) === null;
        return data.length <= MAX_DOTS || isAlone ? 3 : 0;
    };

    const textOf = ({dataset, dataIndex}) => `${dataset.label}: ${dataset.texts[dataIndex]}`;

    const pointAt = (event, chart) => {
        const [point] = chart.getElementsAtEventForMode(event, "nearest", {intersect: true}, true);
        return point && {...point, url: chart.data.datasets[point.datasetIndex].urls[point.index]};
    };

    // The first tap on a touch screen shows the tooltip; a second one opens the page.
    let tapped = null;
    const open = (event, active, chart) => {
        const point = pointAt(event, chart);
        const isFirstTap = event.native.pointerType === "touch" && tapped !== point?.element;
        tapped = point?.element;
        if (point?.url && !isFirstTap) {
            window.location.assign(point.url);
        }
    };

    const setCursor = (event, active, chart) => {
        chart.canvas.style.cursor = pointAt(event, chart)?.url ? "pointer" : "";
    };

    const legendOf = (isLine) => ({
        align: "start",
        labels: {boxWidth: 12, boxHeight: 12, usePointStyle: isLine, pointStyle: "line", pointStyleWidth: 20},
        onHover: (event, item, legend) => { legend.chart.canvas.style.cursor = "pointer"; },
    });

    // A stack of floats that should reach 100 can reach 100.00000000000001, which would add a tick.
    const roundMax = (scale) => { scale.max = Number(scale.max.toPrecision(12)); };

    const optionsOf = ({type, stacked, unit, legend, datasets}) => {
        const isWhole = datasets.every(({data}) => data.every((number) => Number.isInteger(number ?? 0)));
        return {
            animation: false,
            maintainAspectRatio: false,
            locale: "en-US",
            interaction: {mode: "index", intersect: false},
            onClick: open,
            onHover: setCursor,
            plugins: {
                legend: {display: legend, ...legendOf(type === "line")},
                tooltip: {boxPadding: 4, callbacks: {label: textOf}},
            },
            scales: {
                x: {stacked, grid: {display: false}, ticks: {callback: shortLabel, maxRotation: 45}},
                y: {
                    stacked,
                    beginAtZero: true,
                    ticks: {callback: yText(unit), precision: isWhole ? 0 : undefined},
                    afterDataLimits: roundMax,
                },
            },
            datasets: {
                bar: {maxBarThickness: 64, skipNull: true},
                line: {borderWidth: 2, pointRadius: dotRadius, pointHitRadius: 8, pointHoverRadius: 4},
            },
        };
    };

    const draw = (figure) => {
        const config = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
        config.datasets.forEach((dataset, index) => {
            dataset.borderDash = DASHED.includes(index) ? [6, 4] : [];
        });
        const {type, labels, datasets} = config;
        const chart = new Chart(figure.querySelector("canvas"), {
            type, data: {labels, datasets}, options: optionsOf(config),
        });
        paint(chart);
        charts.push(chart);
    };

    // Pages that fetch a part of themselves call this for the part.
    window.drawCharts = (root) => root.querySelectorAll(".chart-figure").forEach(draw);

    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    window.drawCharts(document);
    new MutationObserver(() => charts.forEach(paint)).observe(document.documentElement, {attributeFilter: ["class"]});
}
