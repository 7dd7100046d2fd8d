// Draws the charts of a page with Chart.js, from the JSON beside each canvas (salesengine/backoffice/charts.py).
"use strict";

{
    const LABEL_LENGTH = 18;  // characters of a label on the x axis; the tooltip has the whole label
    const LONG_LABEL_LENGTH = 40;  // of a horizontal bar on a wide screen
    const MAX_DOTS = 40;  // of one line: more would hide it
    const SOLID_COLORS = 6;  // lines of the other colors are dashed, so that they differ by more than their color
    const BAR_HEIGHT = 28;  // pixels of a horizontal bar and its gap
    const COMPACT_FROM = 1e7;  // larger numbers on an axis are written as 10M or 2B
    const compact = new Intl.NumberFormat("en-US", {notation: "compact"});
    const charts = [];

    const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    // Canvases know no CSS, so their colors are set again when the theme changes.
    const paint = (chart) => {
        for (const dataset of chart.data.datasets) {
            dataset.backgroundColor = dataset.borderColor = cssVariable(`--chart-${dataset.color}`);
        }
        const textColor = cssVariable("--body-quiet-color");
        for (const scale of Object.values(chart.options.scales)) {
            scale.ticks.color = scale.title.color = textColor;
            scale.grid.color = scale.border.color = cssVariable("--hairline-color");
        }
        chart.options.plugins.legend.labels.color = textColor;
        chart.update();
    };

    const shortLabel = function (value) {
        const label = this.getLabelForValue(value);
        const length = this.axis === "y" ? Math.min(this.chart.width / 16, LONG_LABEL_LENGTH) : LABEL_LENGTH;
        return label.length > length ? `${label.slice(0, length - 1).trimEnd()}…` : label;
    };

    const numberText = (unit) => function (value, index, ticks) {
        const isLarge = Math.max(Math.abs(this.min), Math.abs(this.max)) >= COMPACT_FROM;
        return (isLarge ? compact.format(value) : Chart.Ticks.formatters.numeric.call(this, value, index, ticks)) + unit;
    };

    // A value between two gaps has no line, so it is a dot however many values there are.
    const dotRadius = ({dataIndex, dataset: {data}}) => {
        const isAlone = (data[dataIndex - 1] ?? null) === null && (data[dataIndex + 1] ?? null) === null;
        return data.length <= MAX_DOTS || isAlone ? 3 : 0;
    };

    const textOf = ({dataset, dataIndex}) => (dataset.label ? `${dataset.label}: ` : "") + dataset.texts[dataIndex];

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

    const titleOf = (text) => ({display: text !== "", text});

    const scalesOf = ({stacked, horizontal, unit, measure, labelTitle, datasets}) => {
        const isWhole = datasets.every(({data}) => data.every((number) => Number.isInteger(number ?? 0)));
        const labels = {
            stacked,
            title: titleOf(horizontal ? "" : labelTitle),  // the figure's title says what the bars are
            grid: {display: false},
            ticks: {callback: shortLabel, maxRotation: 45, autoSkip: !horizontal},
        };
        const numbers = {
            stacked,
            title: titleOf(measure),
            beginAtZero: true,
            ticks: {callback: numberText(unit), precision: isWhole ? 0 : undefined, maxRotation: 0, autoSkipPadding: 12},
            afterDataLimits: roundMax,
        };
        return horizontal ? {x: numbers, y: labels} : {x: labels, y: numbers};
    };

    const optionsOf = (config) => {
        const {type, horizontal, legend} = config;
        return {
            indexAxis: horizontal ? "y" : "x",
            animation: false,
            maintainAspectRatio: false,
            locale: "en-US",
            interaction: {mode: "index", axis: horizontal ? "y" : "x", intersect: false},
            onClick: open,
            onHover: setCursor,
            plugins: {
                legend: {display: legend, ...legendOf(type === "line")},
                tooltip: {boxPadding: 4, callbacks: {label: textOf}},
            },
            scales: scalesOf(config),
            datasets: {
                bar: {maxBarThickness: 64, skipNull: true},
                line: {borderWidth: 2, pointRadius: dotRadius, pointHitRadius: 8, pointHoverRadius: 4},
            },
        };
    };

    const draw = (figure) => {
        const config = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
        const {type, horizontal, labels, datasets} = config;
        for (const dataset of datasets) {
            dataset.borderDash = Number(dataset.color) > SOLID_COLORS ? [6, 4] : [];
        }
        const canvas = figure.querySelector("canvas");
        if (horizontal) {
            canvas.parentElement.style.height = `${(labels.length * Math.max(datasets.length / 2, 1) + 3) * BAR_HEIGHT}px`;
        }
        const chart = new Chart(canvas, {
            type, data: {labels, datasets}, options: optionsOf(config),
        });
        paint(chart);
        charts.push(chart);
    };

    // Pages that fetch a part of themselves call this for the part.
    window.drawCharts = (root) => root.querySelectorAll(".chart-figure:has(canvas)").forEach(draw);

    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    window.drawCharts(document);
    new MutationObserver(() => charts.forEach(paint)).observe(document.documentElement, {attributeFilter: ["class"]});
}
