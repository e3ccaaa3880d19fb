// Plots with values under the pointer, drawn by Observable Plot from the marks of a report.

/** Okabe and Ito's colours, which colour-blind readers can distinguish; the last one follows the theme. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor"];
const PALE = "#8c8c8c";
/** Pixels between series that are moved aside, so that equal values stay visible. */
const ASIDE = 7;
/** Pixels from the pointer to the mark whose value is shown. */
const REACH = 150;
/** Number of ticks of epochs. */
const EPOCH_TICKS = 10;
/** Number of dots up to which each has its name beside it. */
const NAMED_DOTS = 16;

function colour(i) {
  return COLOURS[i % COLOURS.length];
}

/** Returns the scale of an axis with numbers. */
function scaleOf({ label, log, min, max }, values) {
  const scale = { label: label || null, type: log ? "log" : "linear", nice: min === undefined && max === undefined };
  if (min !== undefined || max !== undefined) {
    scale.domain = [min ?? Math.min(...values), max ?? Math.max(...values)];
  }
  return scale;
}

/** Returns all marks of a chart with their series. */
function marksOf(chart) {
  return chart.series.flatMap((series, i) => series.marks.map((mark) => ({
    ...mark,
    series: series.name,
    i,
    label: chart.x.labels?.[mark.x],
    low: mark.ends?.[0],
    high: mark.ends?.[1],
  })));
}

/** Shows the value of the mark near the pointer; with labels on the horizontal axis, whatever its height. */
function pointed(data, x, options = {}) {
  const title = (mark) => [mark.place, mark.series, mark.text].filter(Boolean).join("\n");
  const look = { fill: "var(--ground)", stroke: "var(--line)" };
  const pointer = x === "x" ? Plot.pointer : Plot.pointerX;
  return Plot.tip(data, pointer({ x, y: "y", title, maxRadius: REACH, ...look, ...options }));
}

function lineMarks(chart, data) {
  const count = chart.series.length;
  return chart.series.flatMap((_, i) => {
    const own = data.filter((mark) => mark.i === i);
    const dx = ASIDE * (i - (count - 1) / 2);
    const stroke = colour(i);
    return [
      Plot.ruleX(own.filter((mark) => mark.ends), { x: "label", y1: "low", y2: "high", stroke, dx }),
      Plot.lineY(own, { x: "label", y: "y", stroke, strokeWidth: 2, dx }),
      Plot.dot(own, { x: "label", y: "y", stroke, fill: (mark) => mark.hollow ? "var(--ground)" : stroke, r: 4, dx }),
    ];
  });
}

function curveMarks(chart, data) {
  const seeds = chart.series.flatMap((series, i) => (series.seeds ?? []).map((points) =>
    Plot.line(points, { x: "0", y: "1", stroke: colour(i), strokeOpacity: 0.35, strokeWidth: 1 })));
  const means = chart.series.map((_, i) =>
    Plot.line(data.filter((mark) => mark.i === i), { x: "x", y: "y", stroke: colour(i), strokeWidth: 2.5 }));
  return [...seeds, ...means];
}

function barMarks(chart, data) {
  const fill = (mark) => colour(mark.i);
  return [
    Plot.barY(data, { fx: "label", x: "series", y: "y", fill, fillOpacity: (mark) => mark.hollow ? 0.4 : 1 }),
    Plot.ruleX(data.filter((mark) => mark.ends), { fx: "label", x: "series", y1: "low", y2: "high" }),
    Plot.ruleY([0]),
  ];
}

function dotMarks(data) {
  const stroke = (mark) => mark.pale ? PALE : colour(0);
  const named = data.length <= NAMED_DOTS
    ? [Plot.text(data, { x: "x", y: "y", text: "series", dx: 8, textAnchor: "start", fill: "currentColor" })] : [];
  return [
    Plot.ruleX(data.filter((mark) => mark.ends), { x: "x", y1: "low", y2: "high", stroke }),
    Plot.dot(data, { x: "x", y: "y", stroke, fill: (mark) => mark.hollow ? "var(--ground)" : stroke(mark), r: 4.5 }),
    ...named,
  ];
}

/** Returns the scale of epochs: whole numbers, with a margin on both sides. */
function epochScale(axis, epochs) {
  const span = Math.max(...epochs) - Math.min(...epochs);
  const ticks = Math.max(1, Math.min(EPOCH_TICKS, span));
  return { ...scaleOf(axis, epochs), nice: false, ticks, tickFormat: "d", inset: 8 };
}

/** Returns the settings of Plot for a chart. */
function settings(chart) {
  const data = marksOf(chart);
  const spots = chart.series.flatMap((series) => (series.seeds ?? []).flat());
  const heights = [...data.flatMap((mark) => [mark.y, mark.low, mark.high]), ...spots.map((spot) => spot[1])]
    .filter((value) => value !== undefined);
  const y = { ...scaleOf(chart.y, heights), grid: true };
  const widths = [...data.map((mark) => mark.x), ...spots.map((spot) => spot[0])];
  const x = scaleOf(chart.x, widths);
  switch (chart.kind) {
    case "line": {
      const labels = { label: chart.x.label, domain: chart.x.labels, type: "point", padding: 0.5 };
      const told = data.map((mark) => ({ ...mark, place: `${chart.x.label} ${mark.label}` }));
      return { x: labels, y, marks: [...lineMarks(chart, data), pointed(told, "label")] };
    }
    case "bars": {
      const told = data.map((mark) => ({ ...mark, place: `${chart.x.label} ${mark.label}` }));
      const bars = { y, marks: [...barMarks(chart, data), pointed(told, "series", { fx: "label" })] };
      return { ...bars, x: { axis: null }, fx: { label: chart.x.label, domain: chart.x.labels } };
    }
    case "scatter":
      return { x: { ...x, grid: true }, y, marks: [...dotMarks(data), pointed(data, "x")] };
    default: {
      const told = data.map((mark) => ({ ...mark, place: `${chart.x.label} ${mark.x}` }));
      return { x: epochScale(chart.x, widths), y, marks: [...curveMarks(chart, data), pointed(told, "x")] };
    }
  }
}

/** Draws a chart into a box, and again whenever the width of the box changes. */
function drawn(name, chart, ratio = 0.6) {
  const box = el("div", { class: "chart" });
  let width = 0;
  const draw = () => {
    const room = Math.floor(box.clientWidth);
    if (room === width || room === 0) return;
    width = room;
    const height = Math.max(150, Math.min(420, ratio * width));
    const isLimited = [chart.x, chart.y].some(({ min, max }) => min !== undefined || max !== undefined);
    const picture = Plot.plot({
      ...settings(chart),
      width,
      height,
      clip: isLimited ? "frame" : undefined,
      marginLeft: 56,
      marginRight: 24,
      marginBottom: 46,
      style: { fontSize: "12px", background: "transparent", overflow: "visible" },
      ariaLabel: name,
    });
    picture.setAttribute("role", "img");
    // Plot names its marks, and a name needs a role. The tip is made anew with each movement of the pointer.
    const giveRoles = () =>
      picture.querySelectorAll("g[aria-label]").forEach((marks) => marks.setAttribute("role", "group"));
    giveRoles();
    new MutationObserver(giveRoles).observe(picture, { childList: true, subtree: true });
    box.replaceChildren(picture);
  };
  new ResizeObserver(draw).observe(box);
  return box;
}

/** Names the series of a chart beside their colours. */
function legendOf(chart) {
  if (chart.kind === "scatter" || chart.series.length < 2) return null;
  const entry = (series, i) => el("span", {}, el("span", { style: `color: ${colour(i)}`, "aria-hidden": "true" }, "■ "),
    series.name);
  const axes = chart.legend ? el("span", { class: "quiet" }, chart.legend) : null;
  return el("div", { class: "tools legend" }, axes, chart.series.map(entry));
}

/** Makes the section of a plot. */
function plotSection(plot) {
  const section = el("section", { id: `plot-${anchor(plot.id)}` }, el("h2", {}, plot.title));
  if (plot.chart) {
    section.append(...[legendOf(plot.chart), drawn(plot.title, plot.chart)].filter(Boolean));
  } else if (plot.svg) {
    const picture = new DOMParser().parseFromString(plot.svg, "image/svg+xml").documentElement;
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", plot.title);
    section.append(el("div", { class: "picture" }, document.importNode(picture, true)));
  }
  section.append(notes([plot.caption]));
  return section;
}
