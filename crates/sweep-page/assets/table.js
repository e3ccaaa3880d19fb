// Tables that sort by a click on a heading and filter by text. TanStack Table keeps the state; this file draws it.

/** Number of rows that are shown at once. */
const ROWS = 250;
/** Number of rows from which a table has a filter. */
const FILTERED_ROWS = 6;
/** Length of a text that may break into lines. */
const LONG = 34;

/** Sorting and filter of each table by its name, for a page that is drawn again. */
const kept = new Map();

/** Orders two cells: by their numbers, else by their texts. Cells without a number come after those with one. */
function order(a, b) {
  if (a.number !== undefined || b.number !== undefined) {
    return (a.number ?? Infinity) - (b.number ?? Infinity) || 0;
  }
  return a.text.localeCompare(b.text, "en", { numeric: true });
}

function columnsOf(header) {
  return header.map((text, i) => ({
    id: String(i),
    header: text,
    accessorFn: (row) => row[i].text,
    sortingFn: (a, b) => order(a.original[i], b.original[i]),
    sortDescFirst: false,
  }));
}

/** Draws one cell. */
function cellOf(cell, isWord) {
  const text = { best: () => el("strong", {}, cell.text), tied: () => el("em", {}, cell.text) }[cell.mark];
  const content = cell.element ?? (text ? text() : cell.text);
  const kind = [isWord ? "word" : "", cell.text.length > LONG ? "long" : "", cell.look ?? ""].join(" ").trim();
  const reason = cell.note ? el("span", { class: "reason" }, cell.note) : null;
  return el("td", { class: kind || null }, content, reason);
}

/**
 * Makes a table from a sheet: `header`, the number `words` of columns with words, and `rows` of cells with `text`,
 * `number`, `mark` and `note`. `keep(row)` may hide rows; the returned element has a function `refresh`.
 */
function sortableTable(name, { header, words, rows }, keep = () => true) {
  const body = el("tbody");
  const heads = header.map((text, i) =>
    el("th", { scope: "col", class: i < words ? "word" : null },
      el("button", { type: "button", onclick: () => table.getColumn(String(i)).toggleSorting() }, text)));
  const told = el("span", { class: "quiet", role: "status" });
  const older = el("button", { type: "button", onclick: () => table.previousPage() }, "Previous");
  const newer = el("button", { type: "button", onclick: () => table.nextPage() }, "Next");

  function draw() {
    const shown = table.getRowModel().rows;
    const all = table.getPrePaginationRowModel().rows.length;
    body.replaceChildren(...shown.map((row) =>
      el("tr", {}, row.original.map((cell, i) => cellOf(cell, i < words)))));
    heads.forEach((head, i) => {
      const sorted = table.getColumn(String(i)).getIsSorted();
      head.setAttribute("aria-sort", { asc: "ascending", desc: "descending" }[sorted] ?? "none");
    });
    const hidden = all > shown.length ? `${shown.length} of ` : "";
    told.textContent = all === rows.length && !hidden ? "" : `${hidden}${all} of ${rows.length} rows`;
    for (const [button, can] of [[older, table.getCanPreviousPage()], [newer, table.getCanNextPage()]]) {
      button.hidden = !(table.getCanPreviousPage() || table.getCanNextPage());
      button.disabled = !can;
    }
  }

  const filters = (row, _, text) =>
    keep(row.original) && row.original.some((cell) => cell.text.toLowerCase().includes(text.text));
  const table = TableCore.createTable({
    data: rows,
    columns: columnsOf(header),
    state: {},
    onStateChange(update) {
      const state = typeof update === "function" ? update(table.getState()) : update;
      table.setOptions((former) => ({ ...former, state }));
      kept.set(name, { sorting: state.sorting, globalFilter: state.globalFilter });
      draw();
    },
    globalFilterFn: filters,
    getColumnCanGlobalFilter: () => true,
    getCoreRowModel: TableCore.getCoreRowModel(),
    getSortedRowModel: TableCore.getSortedRowModel(),
    getFilteredRowModel: TableCore.getFilteredRowModel(),
    getPaginationRowModel: TableCore.getPaginationRowModel(),
    renderFallbackValue: null,
  });
  const former = { globalFilter: { text: "" }, ...kept.get(name) };
  const state = { ...table.initialState, pagination: { pageIndex: 0, pageSize: ROWS }, ...former };
  table.setOptions((options) => ({ ...options, state }));

  let asked = former.globalFilter.text;
  const filter = (text) => {
    asked = text;
    table.setGlobalFilter({ text: asked.toLowerCase() });
  };
  const input = el("input", { type: "search", value: asked, oninput: (event) => filter(event.target.value) });
  const tools = el("div", { class: "tools" }, el("label", {}, "Filter", input), told, older, newer);
  if (rows.length < FILTERED_ROWS) tools.hidden = true;
  draw();
  const head = el("thead", {}, el("tr", {}, heads));
  const region = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name });
  region.append(el("table", {}, head, body));
  const made = el("div", {}, tools, region);
  made.tools = tools;
  made.refresh = () => filter(asked);
  return made;
}
