/* Results of one song side by side. */
const HUES = ["#0b6bcb", "#d0651e", "#159169", "#a24bb5", "#b58900", "#c2334d", "#4d7fa8", "#7a7a2a"];
function letterMark(r) { return make("span", { class: "letter-mark" }, r.letter); }
function showResults(data) {
  const best = Math.min(...finite(data.results.map((r) => r.losses[2]))), count = data.results.length, row = document.getElementById("verdict");
  row.append(make("div", { class: "stats" }, stat(String(count), count === 1 ? "result" : "results"), stat(figure(best), "lowest match loss"),
    ...(data.agreement === null ? [] : [stat(data.agreement.toFixed(2), "agreement of the graphs (mean F1 of two)")]), stat(data.licence || "not stated", "licence of the song")));
  for (const text of [...data.notes, ...(data.leftOut || [])]) document.getElementById("notes").append(make("p", { class: "quiet", dir: "auto" }, text));
  const settings = Object.entries(data.settings);
  const columns = [
    { title: "result", value: (r) => r.name, cell: (r) => make("span", {}, letterMark(r), r.href ? make("a", { href: r.href }, r.name) : r.name) },
    ...settings.map(([name, texts]) => ({ title: name.split(".").pop(), help: name, value: (r) => { const t = texts[data.results.indexOf(r)]; return t !== "" && Number.isFinite(Number(t)) ? Number(t) : t; } })),
    ...["dry sum", "console", "found mix"].map((name, i) => ({ title: i === 2 ? "loss" : name, kind: "number", lowFirst: true, help: `match loss of the ${name}`, value: (r) => r.losses[i], cell: (r) => fixed(r.losses[i], 3) })),
    { title: "processors", kind: "number", lowFirst: true, value: (r) => r.left, cell: (r) => `${r.left} of ${shown(r.console)}` },
    { title: "ratio", help: "pruning ratio: the share of the console's processors that was removed", kind: "number", value: (r) => r.ratio, cell: (r) => fixed(r.ratio, 2) },
    ...data.types.map((t) => ({ title: t.letter, help: t.name, kind: "number", lowFirst: true, value: (r) => r.found[t.type] || 0 })),
    { title: "searched", kind: "number", lowFirst: true, value: (r) => r.seconds, cell: (r) => duration(r.seconds) },
    { title: "verdict", kind: "wide", value: (r) => r.words },
  ];
  const place = document.getElementById("results");
  place.append(sortable(columns, data.results, "Results with their settings, losses and processors").box);
  place.append(make("p", { class: "quiet" }, settings.length ? `Settings in which they differ: ${settings.map(([name]) => name).join(", ")}. Losses are match losses, the ratio is the pruning ratio, letters count processors by type. A click on a head sorts.` : "Their settings do not differ, as far as they are known. Losses are match losses, the ratio is the pruning ratio, letters count processors by type. A click on a head sorts."));
}
function showGraphs(data) {
  const dialog = make("dialog", { "aria-label": "A graph at its full size" });
  const parse = (text) => {
    const svg = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
    for (const node of svg.querySelectorAll("g.node")) if (!["input", "mix", "output"].includes(node.dataset.type)) node.querySelector("text").classList.add("letter");
    return svg;
  };
  const caption = (r) => make("span", { dir: "auto" }, letterMark(r), `${r.name}: ${r.left} processors, pruning ratio ${fixed(r.ratio, 2)}, match loss ${fixed(r.losses[2], 3)}`);
  const enlarge = (r) => {
    dialog.replaceChildren(make("div", { class: "row" }, caption(r), make("button", { type: "button", onclick: () => dialog.close() }, "Close")), make("div", { class: "drawing" }, parse(r.drawing)));
    dialog.showModal();
  };
  document.getElementById("graphs").append(make("div", { class: "graphs" }, ...data.results.map((r) => {
    const picture = parse(r.drawing);
    picture.setAttribute("preserveAspectRatio", "xMinYMin meet"); picture.removeAttribute("role"); picture.setAttribute("aria-hidden", "true");
    for (const title of picture.querySelectorAll("title")) title.remove();
    return make("figure", {}, make("figcaption", {}, caption(r)), make("button", { type: "button", class: "drawing", "aria-label": `Show the graph of ${r.letter} at its full size`, onclick: () => enlarge(r) }, picture));
  })), dialog);
}
function showFigures(data) {
  const place = make("div", { class: "grid" }), card = (title, ...content) => place.append(make("div", { class: "card" }, make("h3", {}, title), ...content));
  const samplers = [...new Set(data.results.map((r) => r.sampler))], hue = (r) => HUES[samplers.indexOf(r.sampler) % HUES.length];
  const point = (r, x, y) => ({ x: x(r), y: y(r), letter: r.letter, colour: hue(r), of: r });
  const named = () => (samplers.length > 1 ? [legend(samplers.map((s, i) => [s || "sampler not stated", HUES[i % HUES.length]]))] : []);
  /* Lines join results that differ in their tolerance alone. */
  const rest = (r) => JSON.stringify(Object.entries(data.settings).filter(([name]) => name !== "pruning.tolerance").map(([, texts]) => texts[data.results.indexOf(r)]));
  const joined = (points) => [...new Set(data.results.map(rest))].map((key) => points.filter((p) => rest(p.of) === key && Number.isFinite(p.of.tolerance)).sort((a, b) => a.of.tolerance - b.of.tolerance)).filter((line) => new Set(line.map((p) => p.of.tolerance)).size === line.length);
  const chart = (title, x, y, spec) => {
    const points = data.results.map((r) => point(r, x, y)), label = title;
    card(title, scatter({ points, joins: joined(points), ...spec }, label), ...named());
  };
  const left = (r) => (r.console ? r.left / r.console : null), rise = (r) => (Number.isFinite(r.losses[2]) && Number.isFinite(r.losses[1]) ? r.losses[2] - r.losses[1] : null);
  chart("Match loss against processors left", (r) => r.left, (r) => r.losses[2], { xLabel: "processors left", yLabel: "match loss" });
  chart("Rise of the loss above the console's, against the share left", left, rise, { xLabel: "share of the processors left", yLabel: "rise of the loss" });
  if (new Set(data.results.map((r) => r.tolerance).filter((t) => t > 0)).size > 1) {
    chart("Match loss by tolerance", (r) => r.tolerance, (r) => r.losses[2], { xLabel: "tolerance", yLabel: "match loss", log: true });
    chart("Pruning ratio by tolerance", (r) => r.tolerance, (r) => r.ratio, { xLabel: "tolerance", yLabel: "pruning ratio", log: true });
  }
  const timed = data.results.filter((r) => r.windows.length > 1), longest = Math.max(0, ...timed.map((r) => r.windows.length));
  if (timed.length) {
    const colours = Object.fromEntries(timed.map((r) => [r.letter, HUES[data.results.indexOf(r) % HUES.length]])), seconds = Math.max(...timed.map((r) => r.windowSeconds));
    card("Loss over the song", plot({ x: Array.from({ length: longest }, (_, i) => (i + 0.5) * seconds), lines: Object.fromEntries(timed.map((r) => [r.letter, r.windows])), xLabel: "s", yLabel: "match loss", zero: true, colours }, "Match loss over the song, by window"), legend(timed.map((r) => [r.letter, colours[r.letter]])));
  }
  const parts = (counts) => data.types.map((t) => ({ value: counts[t.type] || 0, colour: t.colour, name: t.name })), sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  const bars = data.results.map((r) => ({ name: `${r.letter} ${r.name}`, parts: parts(r.found), text: String(r.left) })), consoles = data.results.filter((r) => sum(r.before)).filter((r, i, all) => all.findIndex((o) => JSON.stringify(o.before) === JSON.stringify(r.before)) === i);
  const before = consoles.map((r) => ({ name: consoles.length > 1 ? `console of ${r.letter}` : "console", parts: parts(r.before), text: String(sum(r.before)) }));
  place.append(make("div", { class: "card full" }, make("h3", {}, "Processors by type"), stacked([...before, ...bars], "Processors by type"), legend(data.types.map((t) => [t.name, t.colour]))));
  document.getElementById("figures").append(place);
}
function showMatrix(data) {
  const count = data.results.length, times = (row) => row.found.filter(Boolean).length;
  const mark = (row, i) => { const dot = make("span", { class: row.found[i] ? "dot" : "dot no" }); if (row.found[i]) dot.style.background = row.colour; return make("span", {}, dot, make("span", { class: "hidden" }, row.found[i] ? "found" : "not found")); };
  const columns = [
    { title: "place", value: (row) => row.place }, { title: "processor", value: (row) => row.name, cell: (row) => make("span", {}, swatch(row.colour), row.name) },
    { title: `in of ${count}`, kind: "number", help: `In how many of the ${count} results it was found`, value: times, cell: (row) => `${times(row)} of ${count}` },
    ...data.results.map((r, i) => ({ title: r.letter, kind: "mark-cell", help: r.name, value: (row) => (row.found[i] ? 0 : 1), cell: (row) => mark(row, i) })),
  ];
  const { table, box, filter } = sortable(columns, data.matrix, "Processors, and the results that have them");
  table.classList.add("marks");
  const said = make("span", { class: "quiet", role: "status" }), choices = [["all", "All", () => true], ["common", "In every result", (row) => times(row) === count], ["apart", "Not in every result", (row) => times(row) < count]];
  const row = make("div", { class: "row", role: "group", "aria-label": "Processors to show" }, ...choices.map(([key, text, test]) => make("button", { type: "button", "data-key": key, "aria-pressed": String(key === "all"), onclick: (e) => {
    for (const b of row.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b === e.currentTarget));
    said.textContent = `${filter(test)} of ${data.matrix.length} processors`;
  } }, text)), said);
  said.textContent = `${data.matrix.length} processors`;
  document.getElementById("matrix").append(row, box);
}
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  showResults(data); showGraphs(data); showFigures(data); showMatrix(data);
  window.mixgraphPlayer = startListening(data);
})();
