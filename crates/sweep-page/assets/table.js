// Tables that sort by a click on a heading and filter by text. TanStack Table keeps the state; this file draws it.

/** Number of rows that are shown at once. */
const ROWS = 250;
/** Number of rows from which a table has a filter. */
const FILTERED_ROWS = 6;
/** Length of a text that may break into lines. */
const LONG = 34;

/** Sorting, page and filter of each table by its key, for a page that is drawn again. */
const kept = new Map();

/** Returns the columns. One with numbers is sorted by them, and its cells without a number come last. */
function columnsOf(header, rows) {
  return header.map((text, i) => {
    const column = { id: String(i), header: text, sortDescFirst: false };
    if (rows.some((row) => row[i].number !== undefined)) {
      const sortingFn = (a, b) => a.original[i].number - b.original[i].number;
      return { ...column, accessorFn: (row) => row[i].number, sortUndefined: "last", sortingFn };
    }
    const sortingFn = (a, b) => a.original[i].text.localeCompare(b.original[i].text, "en", { numeric: true });
    return { ...column, accessorFn: (row) => row[i].text, sortingFn };
  });
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
 * `number`, `mark` and `note`. `keep(row)` may hide rows; the returned element has a function `refresh`. A table with a
 * key keeps what the reader has chosen when the page is drawn again.
 */
function sortableTable(key, name, { header, words, rows }, keep = () => true) {
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
    columns: columnsOf(header, rows),
    state: {},
    onStateChange(update) {
      const state = typeof update === "function" ? update(table.getState()) : update;
      table.setOptions((former) => ({ ...former, state }));
      const { sorting, globalFilter, pagination } = state;
      if (key) kept.set(key, { sorting, globalFilter, pagination });
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
  const former = { globalFilter: { text: "" }, ...kept.get(key) };
  const state = { ...table.initialState, pagination: { pageIndex: 0, pageSize: ROWS }, ...former };
  table.setOptions((options) => ({ ...options, state }));

  let asked = former.globalFilter.text;
  const filter = (text) => {
    asked = text;
    table.setGlobalFilter({ text: asked.toLowerCase() });
  };
  const input = el("input", { type: "search", value: asked, oninput: (event) => filter(event.target.value) });
  const tools = el("div", { class: "tools" }, el("label", {}, "Filter", input), told, older, newer);
  tools.hidden = rows.length < FILTERED_ROWS && !asked;
  draw();
  const head = el("thead", {}, el("tr", {}, heads));
  const region = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name });
  region.append(el("table", {}, head, body));
  const made = el("div", {}, tools, region);
  made.tools = tools;
  made.refresh = () => filter(asked);
  return made;
}

/** Makes a table that is only read, from a sheet as for `sortableTable`. */
function plainTable(name, { header, words, rows }) {
  const heads = header.map((text, i) => el("th", { scope: "col", class: i < words ? "word" : null }, text));
  const lines = rows.map((row) => el("tr", {}, row.map((cell, i) => cellOf(cell, i < words))));
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, lines));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table);
}
