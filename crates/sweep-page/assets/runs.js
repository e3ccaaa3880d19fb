// The table of runs, and what is known about one of them.

/** How a status looks. */
function lookOf(status) {
  if (status === "succeeded") return "good";
  return /failed|timed out|incomplete/.test(status) ? "bad" : "open";
}

/** The status that the reader has chosen; empty for all. */
let wanted = "";

/** Makes the table of runs. A click on an id shows the run. */
function runsSection({ runs: { axes, series, shown, whole, runs }, details, configurations }) {
  const header = ["run", ...axes, "seed", "status", "attempts", ...shown.map((i) => `last ${series[i]}`)];
  const rows = runs.map((run, place) => {
    const open = () => showRun({ axes, series }, run, details[place] ?? {}, configurations);
    const id = run.run.slice(0, 10);
    const value = (i) => {
      const found = run.values.find((values) => values.series === i);
      return found ? { text: found.last, number: found.number } : { text: "" };
    };
    return [
      { text: id, element: el("button", { type: "button", onclick: open }, id) },
      ...run.labels.map((text) => ({ text })),
      { text: String(run.seed), number: run.seed },
      { text: run.status, look: lookOf(run.status) },
      { text: String(run.attempts), number: run.attempts },
      ...shown.map(value),
    ];
  });
  const words = axes.length + 1;
  const at = axes.length + 2;
  const table = sortableTable("runs", "Runs", { header, words, rows }, (row) => !wanted || row[at].text === wanted);
  const all = [...new Set(runs.map((run) => run.status))].sort();
  if (all.length > 1) {
    const choose = (event) => {
      wanted = event.target.value;
      table.refresh();
    };
    if (!all.includes(wanted)) wanted = "";
    const option = (status) => el("option", { selected: status === wanted }, status);
    const options = [el("option", { value: "" }, "all"), ...all.map(option)];
    table.tools.prepend(el("label", {}, "Status", el("select", { onchange: choose }, options)));
    table.tools.hidden = false;
  }
  const missing = whole ? [] : ["There are too many values for curves of single runs: only the last ones are here."];
  return el("section", { id: "runs" }, el("h2", {}, "Runs"), table, notes(missing) ?? "");
}

/** Draws the values of a run over epochs. */
function runCurves(series, run) {
  const figures = run.values.filter((values) => (values.points ?? []).length > 1).map((values) => {
    const marks = values.points.map(([x, y]) => ({ x, y, text: String(Number(y.toPrecision(5))) }));
    const chart = { kind: "curves", x: { label: "epoch" }, y: { label: "" }, series: [{ name: "", marks }] };
    const name = series[values.series];
    return el("figure", {}, el("figcaption", {}, name), drawn(name, chart, 0.55));
  });
  return figures.length === 0 ? null : el("div", { class: "small-charts" }, figures);
}

/** Shows everything about a run in a dialog. */
function showRun({ axes, series }, run, detail, configurations) {
  const dialog = document.getElementById("shown-run");
  const place = axes.map((axis, i) => run.labels[i] && `${axis}=${run.labels[i]}`).filter(Boolean).join(" ");
  const facts = [
    ["status", run.status + (run.message ? `: ${run.message}` : "")],
    ["attempts", String(run.attempts)],
    ["computed with", run.arithmetic],
    ["id", run.run],
  ].filter(([, text]) => text);
  const values = {
    header: ["quantity", "last value"],
    words: 1,
    rows: run.values.map((found) => [{ text: series[found.series] }, { text: found.last, number: found.number }]),
  };
  const part = (title, content) => content ? [el("h3", {}, title), content] : [];
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const config = configurations[detail.configuration];
  dialog.replaceChildren(
    el("div", { class: "bar" }, el("h2", { id: "run-title" }, `${place} seed ${run.seed}`.trim()), close),
    el("dl", {}, facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
    ...part("Curves", runCurves(series, run)),
    ...part("Values", run.values.length ? sortableTable(null, "Values of the run", values) : null),
    ...part("Configuration", config ? el("pre", { tabindex: "0" }, config) : null),
    ...part("End of the log", detail.log ? el("pre", { tabindex: "0" }, detail.log) : null),
  );
  dialog.showModal();
}
