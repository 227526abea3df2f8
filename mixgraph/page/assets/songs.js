/* A table of many songs, and what they are together. */
const SETS = ["#0b6bcb", "#d0651e", "#159169", "#a24bb5", "#b58900", "#c2334d", "#4d7fa8", "#7a7a2a"];
function mean(values) { const known = finite(values); return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null; }
function counted(data) { return data.kind === "dataset" ? data.rows.filter((r) => r.status === "accepted") : data.rows; }
function showHead(data) {
  const rows = counted(data), states = ["accepted", "rejected", "failed"].map((s) => [s, data.rows.filter((r) => r.status === s).length]);
  document.getElementById("verdict").append(make("div", { class: "stats" }, stat(String(data.rows.length), (data.kind === "dataset" ? "song" : "result") + (data.rows.length === 1 ? "" : "s")),
    ...(data.kind === "dataset" ? states.map(([s, n]) => stat(String(n), s === "accepted" ? "kept" : s === "rejected" ? "left out" : "failed")) : []),
    stat(fixed(mean(rows.map((r) => r.losses[2])), 3), "mean match loss"), stat(fixed(mean(rows.map((r) => r.ratio)), 2), "mean pruning ratio"), stat(fixed(mean(rows.map((r) => r.left)), 1), "processors a song")));
  for (const text of data.notes) document.getElementById("notes").append(make("p", { class: "quiet", dir: "auto" }, text));
}
function showSongs(data) {
  const place = document.getElementById("songs"), dialog = make("dialog", { "aria-label": "How to make the page of a song" });
  const how = (r) => {
    const [one, runs] = r.commands;
    dialog.replaceChildren(make("h3", { dir: "auto" }, r.song), make("p", {}, "The page of its result, by this command in the folder of this page (--tracks FOLDER adds the dry tracks and the live console):"), make("code", {}, one),
      ...(runs ? [make("p", {}, `Its ${r.runs} runs side by side:`), make("code", {}, runs)] : []), make("p", { class: "quiet" }, "This page has the link when it is written anew."), make("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    dialog.showModal();
  };
  const way = (r) => (r.href ? make("a", { href: r.href }, "open") : r.commands.length ? make("button", { type: "button", class: "small", "aria-label": `How to make the page of ${r.song}`, onclick: () => how(r) }, "make…") : "–");
  const any = (test) => data.rows.some(test), words = { accepted: "kept", rejected: "left out", failed: "failed" };
  const number = (title, value, cell, more) => ({ title, kind: "number", value, cell: cell && ((r) => cell(value(r))), ...more });
  const columns = [
    { title: data.kind === "dataset" ? "song" : "result", value: (r) => r.song, cell: (r) => (r.title && r.title !== r.song ? make("span", {}, r.song, make("br"), make("span", { class: "quiet" }, r.title)) : r.song) },
    { title: "page", value: (r) => (r.href ? 0 : 1), cell: way },
    ...(data.sets.length > 1 ? [{ title: "dataset", value: (r) => r.set }] : []),
    ...(data.kind === "dataset" ? [{ title: "quality", value: (r) => r.status, cell: (r) => make("span", { class: `tag ${words[r.status] ? r.status : ""}` }, words[r.status] || shown(r.status)) }] : []),
    ...(any((r) => r.why.length) ? [{ title: "why", kind: "wide", value: (r) => r.why.join("; ") }] : []),
    number("loss", (r) => r.losses[2], (v) => fixed(v, 3), { lowFirst: true, help: "match loss of the found mix" }),
    number("console", (r) => r.losses[1], (v) => fixed(v, 3), { lowFirst: true, help: "match loss of the console" }),
    number("dry", (r) => r.losses[0], (v) => fixed(v, 3), { lowFirst: true, help: "match loss of the dry sum" }),
    { title: "processors", kind: "number", value: (r) => r.left, cell: (r) => (empty(r.left) ? "–" : empty(r.console) ? String(r.left) : `${r.left} of ${r.console}`) },
    number("ratio", (r) => r.ratio, (v) => fixed(v, 2), { help: "pruning ratio: the share of the console's processors that was removed" }),
    ...data.types.map((t) => ({ title: t.letter, help: t.name, kind: "number", value: (r) => (empty(r.left) ? null : r.found[t.type] || 0) })),
    number("tracks", (r) => r.tracks), number("subgroups", (r) => r.subgroups),
    number("length", (r) => r.seconds, duration),
    ...(any((r) => r.runs > 1) ? [number("runs", (r) => r.runs), number("agreement", (r) => r.agreement, (v) => fixed(v, 2), { help: "mean F1 of the processors of two runs" })] : []),
    ...(any((r) => Number.isFinite(r.searched)) ? [number("searched", (r) => r.searched, duration)] : []),
    { title: "verdict", kind: "wide", value: (r) => r.words },
    { title: "licence", value: (r) => r.licence }, ...(any((r) => r.artist) ? [{ title: "artist", value: (r) => r.artist }] : []),
  ];
  const { box, filter } = sortable(columns, data.rows, data.kind === "dataset" ? "Songs of the dataset" : "Results of several songs");
  const search = make("input", { type: "search", placeholder: "Filter", "aria-label": "Show only songs with this text in name, reason, verdict, licence or artist" }), states = [...new Set(data.rows.map((r) => r.status))].filter(Boolean);
  const state = make("select", { "aria-label": "Quality" }, make("option", { value: "" }, "all"), ...states.map((s) => make("option", { value: s }, words[s] || s))), said = make("span", { class: "quiet", role: "status" });
  const texts = new Map(data.rows.map((r) => [r, [r.song, r.title, r.set, r.why.join(" "), r.words, r.licence, r.artist].join(" ").toLocaleLowerCase()]));
  const refresh = () => {
    const wanted = search.value.trim().toLocaleLowerCase();
    said.textContent = `${filter((r) => (!state.value || r.status === state.value) && texts.get(r).includes(wanted))} of ${data.rows.length}`;
  };
  search.addEventListener("input", refresh); state.addEventListener("change", refresh); refresh();
  place.append(make("div", { class: "row" }, search, ...(states.length > 1 ? [state] : []), said), box, make("p", { class: "quiet" }, `A click on a head sorts. The loss is the match loss, the ratio the pruning ratio. Letters count processors by type: ${data.types.map((t) => `${t.letter} ${t.name}`).join(", ")}.`), dialog);
}
/* Bars of counts by range, the sets of songs one on the other. */
function histogram(data, rows, value, spec) {
  const known = rows.map((r) => [value(r), data.sets.indexOf(r.set)]).filter(([v]) => Number.isFinite(v));
  if (!known.length) return make("p", { class: "quiet" }, "Not known of these songs.");
  const values = known.map(([v]) => v), low = Math.min(...values), high = Math.max(...values), most = Math.max(4, Math.min(16, Math.ceil(Math.sqrt(values.length) * 1.5)));
  let step = (high - low) / most || spec.whole || Math.abs(high) * 0.1 || 1;
  const unit = 10 ** Math.floor(Math.log10(step));
  step = [1, 2, 5, 10].map((f) => f * unit).find((s) => s >= step * 0.999);
  if (spec.whole) step = Math.max(1, Math.round(step));
  const first = Math.floor(low / step + 1e-9) * step, count = Math.floor((high - first) / step + 1e-9) + 1, bins = Array.from({ length: count }, () => data.sets.map(() => 0));
  for (const [v, set] of known) bins[Math.min(count - 1, Math.floor((v - first) / step + 1e-9))][Math.max(0, set)] += 1;
  const W = 380, H = 190, L = 34, R = 8, T = 10, B = 32, tallest = Math.max(...bins.map((b) => b.reduce((a, c) => a + c, 0)));
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9), name = (i) => (first + i * step).toFixed(digits), middle = mean(values);
  const svg = draw("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${spec.name}: ${values.length} songs, mean ${fixed(middle, digits + 1)}, from ${fixed(low, digits + 1)} to ${fixed(high, digits + 1)}` });
  const width = (W - L - R) / count, py = (n) => T + (1 - n / tallest) * (H - T - B);
  for (const n of tallest > 1 ? [0, Math.round(tallest / 2), tallest] : [0, 1]) svg.append(draw("path", { class: "axis", d: `M${L} ${py(n)}H${W - R}` }), draw("text", { x: L - 5, y: py(n) + 4, "text-anchor": "end" }, String(n)));
  bins.forEach((bin, i) => {
    let below = 0;
    bin.forEach((n, set) => {
      if (!n) return;
      const box = draw("rect", { x: L + i * width + 1, y: py(below + n), width: Math.max(1, Math.min(width - 2, 60)), height: py(below) - py(below + n), fill: SETS[set % SETS.length] });
      box.append(draw("title", {}, `${name(i)} to ${name(i + 1)}: ${n}${data.sets.length > 1 ? ` of ${data.sets[set]}` : ""}`)); svg.append(box); below += n;
    });
    if (i % Math.ceil(count / 6) === 0) svg.append(draw("text", { x: L + i * width + 1, y: H - B + 14 }, name(i)));
  });
  svg.append(draw("text", { x: W - R, y: H - 3, "text-anchor": "end" }, `${spec.name} · mean ${fixed(middle, digits + 1)}`));
  return svg;
}
function showFigures(data) {
  const rows = counted(data), place = make("div", { class: "grid" }), card = (title, ...content) => place.append(make("div", { class: "card" }, make("h3", {}, title), ...content));
  const named = data.sets.length > 1 ? [legend(data.sets.map((s, i) => [s, SETS[i % SETS.length]]))] : [];
  const chart = (title, value, whole) => card(title, histogram(data, rows, value, { name: title, whole }), ...named.map((n) => n.cloneNode(true)));
  if (data.kind === "dataset") place.append(make("p", { class: "quiet card full" }, `Of the songs that were kept: ${rows.length} of ${data.rows.length}.`));
  chart("Tracks", (r) => r.tracks, 1); chart("Subgroups", (r) => r.subgroups, 1); chart("Processors of the console", (r) => r.console, 1); chart("Processors found", (r) => r.left, 1);
  chart("Match loss", (r) => r.losses[2]); chart("Pruning ratio", (r) => r.ratio);
  const total = (key, t) => rows.reduce((sum, r) => sum + (r[key][t.type] || 0), 0), parts = (key) => data.types.map((t) => ({ value: total(key, t), colour: t.colour, name: t.name })), sum = (list) => list.reduce((s, p) => s + p.value, 0);
  const known = rows.some((r) => Object.keys(r.before).length), bar = (name, key) => ({ name, parts: parts(key), text: String(sum(parts(key))) });
  place.append(make("div", { class: "card full" }, make("h3", {}, "Processors by type, all songs together"), stacked([...(known ? [bar("consoles", "before")] : []), bar("found", "found")], "Processors by type"), legend(data.types.map((t) => [t.name, t.colour]))));
  if (known) card("Share of each type that was kept", bars(data.types.map((t) => ({ name: t.name, value: total("before", t) ? total("found", t) / total("before", t) : 0, colour: t.colour, text: percent(total("before", t) ? total("found", t) / total("before", t) : NaN) })), "Share of each type that was kept"));
  document.getElementById("figures").append(place);
}
function showMeans(data) {
  const rows = counted(data), lines = data.sets.map((s) => ({ name: s || "all", rows: rows.filter((r) => r.set === s) }));
  if (data.sets.length > 1) lines.push({ name: "total", rows });
  const columns = [
    { title: data.kind === "dataset" ? "dataset" : "which", value: (l) => l.name },
    { title: data.kind === "dataset" ? "songs" : "results", kind: "number", value: (l) => l.rows.length },
    { title: "match loss", kind: "number", value: (l) => mean(l.rows.map((r) => r.losses[2])), cell: (l) => fixed(mean(l.rows.map((r) => r.losses[2])), 3) },
    { title: "pruning ratio", kind: "number", value: (l) => mean(l.rows.map((r) => r.ratio)), cell: (l) => fixed(mean(l.rows.map((r) => r.ratio)), 2) },
    ...data.types.map((t) => ({ title: t.name, kind: "number", help: `Mean pruning ratio of ${t.name}`, value: (l) => mean(l.rows.map((r) => (r.ratios || {})[t.type])), cell: (l) => fixed(mean(l.rows.map((r) => (r.ratios || {})[t.type])), 2) })),
  ];
  document.getElementById("means").append(make("p", { class: "quiet" }, `Means over ${data.kind === "dataset" ? "songs" : "results"}: of the match loss, and of the pruning ratio, all in all and of each type.`), sortable(columns, lines, "Means").box);
}
function showRules(data) {
  if (!data.rules.length) return;
  const columns = [
    { title: "rule", value: (r) => r.rule }, ...(data.sets.length > 1 ? [{ title: "dataset", value: (r) => r.set }] : []),
    { title: "limit", kind: "number", value: (r) => r.limit }, { title: "left out", kind: "number", value: (r) => r.rejected }, { title: "by it alone", kind: "number", value: (r) => r.alone }, { title: "reason", kind: "wide", value: (r) => r.reason },
  ];
  const place = document.getElementById("rules");
  place.hidden = false; place.append(sortable(columns, data.rules, "Quality rules, and how many songs they leave out").box);
}
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  showHead(data); showSongs(data); showFigures(data); showMeans(data); showRules(data);
})();
