/* The course of the search and the figures of its end. */
function showHead(data) {
  const place = document.getElementById("verdict"), v = data.verdict;
  const stat = (value, name) => make("div", { class: "stat" }, make("b", {}, value), make("span", {}, name));
  if (v) {
    place.append(make("p", { class: "words" }, v.words || "not judged"), make("div", { class: "stats" },
      stat(figure(v.losses.found), "match loss of the found mix"), stat(figure(v.losses.console), "of the whole console"), stat(figure(v.losses["dry sum"]), "of the dry sum"),
      stat(`${v.processors[0]} of ${v.processors[1]}`, "processors left"), stat(`${data.tracks.length}`, data.tracks.length === 1 ? "track" : "tracks"), stat(data.licence || "not stated", "licence of the song")));
  }
  const notes = document.getElementById("notes");
  for (const text of [...data.missing, ...data.leftOut]) notes.append(make("p", { class: "quiet", dir: "auto" }, text));
}
function showChains(data) {
  document.getElementById("chains").append(make("ul", { class: "chains" }, ...data.chains.map((c) => make("li", { dir: "auto" }, make("b", {}, c.place), ": " + c.sentence))));
}
function showFigures(data) {
  const place = make("div", { class: "grid" }), v = data.verdict, card = (title, content) => place.append(make("div", { class: "card" }, make("h3", {}, title), content));
  if (v) {
    const x = v.windows.found.map((_, i) => (i + 0.5) * v.windowSeconds), colours = { found: "var(--accent)", console: "#d08a1e", "dry sum": "var(--quiet)" };
    card("Loss over the song (blue found, amber console, grey dry sum)", plot({ x, lines: v.windows, xLabel: "s", yLabel: "match loss", zero: true, colours }, "Match loss over the song, by window"));
    card("Octaves, found against target", bars(Object.entries(v.octaves).map(([n, d]) => ({ name: n + " Hz", value: d ?? 0, text: d === null ? "unknown" : d.toFixed(1) + " dB" })), v.lines.join(" ")));
  }
  const c = data.course;
  if (c.step.length) {
    card("Loss while searching", plot({ x: c.step, lines: { loss: c.loss }, xLabel: "steps", yLabel: "match loss of a clip" }, "Match loss over training steps"));
    card("Processors left", plot({ x: c.step, lines: { left: c.left }, xLabel: "steps", yLabel: "processors", zero: true }, "Processors left over training steps"));
  }
  const measured = data.nodes.filter((n) => n.loss !== null).sort((a, b) => b.loss - a.loss).slice(0, 14);
  if (measured.length) card("What matters most: loss without the processor", bars(measured.map((n) => ({ name: n.place.replace(/^\w+ /, "") + " " + n.name, value: n.loss, colour: n.colour, text: signed(n.loss) })), "Loss increases by processor"));
  const kept = (t) => ({ value: t.console ? t.found / t.console : 0, text: `${t.found} of ${t.console}${t.console ? ` (−${Math.round(100 * (1 - t.found / t.console))} %)` : ""}` });
  const counted = (t) => ({ value: t.found, text: String(t.found) });
  const ofConsole = data.types.some((t) => t.console !== null);
  if (data.types.length) card(ofConsole ? "Kept by type (and pruning ratio)" : "Processors by type", bars(data.types.map((t) => ({ name: t.name, colour: t.colour, ...(ofConsole ? kept : counted)(t) })), ofConsole ? "Processors kept by type" : "Processors by type", 90));
  if (data.rounds.length) card("Rounds of pruning", make("ul", {}, ...data.rounds.map((r) => make("li", {}, `Round ${r.round + 1}: ${(r.removed || []).length} removed, ${r.remaining} left, loss ${figure(r.end_loss)}`))));
  document.getElementById("figures").append(place);
}
