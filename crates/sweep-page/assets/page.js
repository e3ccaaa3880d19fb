// Puts the parts of a page together.

/** Makes the section of a table or an analysis. */
function sheetSection({ id, title, sheets, notes: below }) {
  const section = el("section", { id: `part-${anchor(id)}` }, el("h2", {}, title));
  for (const [i, sheet] of sheets.entries()) {
    if (sheet.title) section.append(el("h3", {}, sheet.title));
    section.append(sortableTable(`${id}/${i}`, sheet.title || title, sheet), ...[notes(sheet.notes)].filter(Boolean));
  }
  section.append(...[notes(below)].filter(Boolean));
  return section;
}

/** Makes the section of the claims. Each verdict has its colour. */
function claimsSection(claims) {
  const look = (verdict) => {
    if (/^(reproduced|direction)/.test(verdict)) return "good";
    return /^contradicted/.test(verdict) ? "bad" : "open";
  };
  const at = 3;
  const coloured = (row) => row.map((cell, i) => i === at ? { ...cell, look: look(cell.text) } : cell);
  const sheets = claims.sheets.map((sheet) => ({ ...sheet, rows: sheet.rows.map(coloured) }));
  return sheetSection({ ...claims, sheets });
}

/** Switches between the theme of the system, dark and light. */
function themeButton() {
  const themes = ["system", "dark", "light"];
  const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  let at = Math.max(0, themes.indexOf(kept));
  const button = el("button", { type: "button", class: "theme", onclick: () => apply((at + 1) % themes.length) });
  const apply = (next) => {
    at = next;
    const theme = themes[at];
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("theme", theme); } catch { /* Pages in files may have no storage. */ }
  };
  apply(at);
  return button;
}

/** Draws a page. */
function show(page) {
  const { report, program } = page;
  document.title = report.title;
  const parts = [
    ...report.sections.map((part) => [part.title, sheetSection(part)]),
    ...(report.claims ? [["Claims", claimsSection(report.claims)]] : []),
    ...report.plots.map((plot) => [plot.title, plotSection(plot)]),
    ["Runs", runsSection(page)],
  ];
  if (report.excluded.length > 0) {
    parts.push(["Left out", el("section", { id: "left-out" }, el("h2", {}, "Left out"), notes(report.excluded))]);
  }
  if (report.failures.length > 0) {
    parts.push(["Failures", el("section", { id: "failures" }, el("h2", {}, "Failures"), notes(report.failures))]);
  }
  const links = parts.map(([title, part]) => el("li", {}, el("a", { href: `#${part.id}` }, title)));
  document.querySelector("header.top").replaceChildren(
    el("div", { class: "bar" }, el("h1", {}, report.title), themeButton()),
    el("p", { class: "question" }, report.question),
    el("p", { class: "quiet" }, report.scale),
    el("p", { class: "quiet" }, report.progress),
    ...(report.note ? [el("p", {}, report.note)] : []),
    el("nav", { "aria-label": "Parts of this page" }, el("ul", {}, links)),
  );
  document.getElementById("main").replaceChildren(
    ...parts.map(([, part]) => part),
    el("footer", {}, `${report.experiment}, profile ${report.profile}; made by ${program}`),
  );
}

const given = document.getElementById("page").textContent;
// The header is painted first. Then the libraries are run, and the rest is drawn.
requestAnimationFrame(() => setTimeout(() => {
  const libraries = document.getElementById("libraries");
  document.head.append(el("script", {}, libraries.textContent));
  libraries.remove();
  if (given === "null") follow();
  else show(JSON.parse(given));
}));
