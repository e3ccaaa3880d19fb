// The page of a sweep that runs: how far it is, beside its report so far. The server sends events; nothing is asked of
// it except the report when that has changed.

/** Formats seconds: `42 s`, `12 min`, `3 h 05 min`. */
function time(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Says whether something works on the sweep. */
function schedulerText({ scheduler, is_on_cluster: isOnCluster }) {
  if (scheduler.kind === "present") return `scheduler: process ${scheduler.pid}`;
  if (scheduler.kind === "elsewhere") return `scheduler: process ${scheduler.pid} on ${scheduler.host}`;
  return isOnCluster ? "no scheduler; a cluster goes on" : "no scheduler: nothing goes on until `run` is called";
}

/** Makes the rows of the slots. */
function slotRows(slots) {
  return slots.map(({ slot, running }) => {
    const number = { text: slot === null ? "" : String(slot), number: slot ?? undefined };
    if (!running) return [number, { text: "idle" }, ...Array.from({ length: 5 }, () => ({ text: "" }))];
    const { label, epoch, epochs, share, loss, accuracy, seconds, place } = running;
    return [
      number,
      { text: label },
      { text: place?.device ?? running.job ?? "" },
      { text: `${percent(share)}, epoch ${epoch}${epochs ? ` of ${epochs}` : ""}`, number: share },
      loss === null ? { text: "" } : { text: loss.toFixed(3), number: loss },
      accuracy ? { text: `${accuracy.split} ${percent(accuracy.value)}`, number: accuracy.value } : { text: "" },
      { text: time(seconds), number: seconds },
    ];
  });
}

/** Draws the accuracies and losses of running runs. */
function liveCurves(slots) {
  const of = (name, value, factor, unit) => {
    const series = slots.filter(({ running }) => running).map(({ running }) => ({
      name: running.label,
      marks: running.curve.filter((point) => value(point) !== null).map((point) => {
        const y = factor * value(point);
        return { x: point.epoch, y, text: `${Number(y.toPrecision(4))}${unit}` };
      }),
    })).filter(({ marks }) => marks.length > 0);
    if (series.length === 0) return null;
    const chart = { kind: "curves", x: { label: "epoch" }, y: { label: "" }, legend: "", series };
    return el("figure", {}, el("figcaption", {}, name), legendOf(chart), drawn(name, chart, 0.55));
  };
  const figures = [
    of("validation or test accuracy (%)", (point) => point.validation_accuracy ?? point.test_accuracy, 100, " %"),
    of("training loss", (point) => point.loss, 1, ""),
  ].filter(Boolean);
  return figures.length === 0 ? null : el("div", { class: "small-charts" }, figures);
}

/** Draws how far a sweep is. */
function showState(view) {
  const panel = document.getElementById("live");
  if (!view.experiment) {
    panel.replaceChildren(el("h2", {}, "Progress"), el("p", {}, view.note));
    return;
  }
  const { counts, share, seconds_left: left, slots, queue, failures } = view;
  const done = counts.succeeded + counts.pruned;
  const parts = [["running", counts.running], ["waiting", counts.queued], ["failed", counts.failed],
    ["pruned", counts.pruned]].filter(([, n]) => n > 0).map(([word, n]) => `${n} ${word}`);
  const text = [`${done} of ${counts.runs} runs done`, ...parts, left === null ? "" : `${time(left)} left`];
  const header = ["slot", "run", "device", "progress", "loss", "accuracy", "time"];
  const next = queue.slice(0, 5).map((run) => run.label).join(", ");
  const more = counts.queued > 5 ? ` and ${counts.queued - 5} more` : "";
  panel.replaceChildren(
    el("h2", {}, `${view.experiment} (${view.profile})`),
    el("p", { id: "counts" }, text.filter(Boolean).join(", ")),
    el("progress", { max: "1", value: String(share), "aria-label": "Progress of the sweep" }),
    el("p", { class: "quiet" }, schedulerText(view)),
    ...(view.note ? [el("p", { class: "quiet" }, view.note)] : []),
    ...(slots.length > 0 ? [plainTable("Slots", { header, words: 3, rows: slotRows(slots) })] : []),
    ...[liveCurves(slots)].filter(Boolean),
    ...(next ? [el("p", { class: "quiet" }, `next: ${next}${more}`)] : []),
    ...(failures.length > 0 ? [notes(failures.map((run) => `${run.label} ${run.status}: ${run.reason ?? ""}`))] : []),
  );
}

/** Calls a function when nobody types into a field of the page. */
function whenIdle(draw) {
  const field = document.activeElement;
  const isTyping = field?.matches("input, select") && document.getElementById("main").contains(field);
  if (isTyping) field.addEventListener("blur", () => setTimeout(() => whenIdle(draw)), { once: true });
  else draw();
}

/** Milliseconds until a report that could not be fetched is asked for again. */
const AGAIN = 5000;

/** Follows the server. */
function follow() {
  const panel = el("section", { id: "live", class: "live" }, el("h2", {}, "Progress"));
  const lost = el("p", { class: "bad", role: "status", hidden: true });
  document.querySelector("header.top").after(el("div", { class: "top-live" }, lost, panel));
  const say = (text) => {
    lost.textContent = text;
    lost.hidden = !text;
  };
  let known = "";
  let newest = 0;
  const load = async (digest) => {
    const mine = ++newest;
    try {
      const answer = await fetch("page.json");
      if (!answer.ok) throw new Error(answer.statusText);
      const page = await answer.json();
      // A later report may have come first.
      if (mine !== newest) return;
      known = digest;
      whenIdle(() => show(page));
    } catch {
      setTimeout(() => mine === newest && load(digest), AGAIN);
    }
  };
  const events = new EventSource("events");
  events.onopen = () => say("");
  events.onerror = () => say(events.readyState === EventSource.CLOSED
    ? "The server no longer answers this page: open the address that `serve` prints now."
    : "The connection is lost; trying again.");
  events.addEventListener("state", (event) => showState(JSON.parse(event.data)));
  events.addEventListener("page", ({ data: digest }) => {
    if (digest && digest !== known) load(digest);
  });
}
