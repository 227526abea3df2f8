/* What a processor does, as pictures: curves, bars and echoes; as it is now, and dashed or in grey as it was found. */
function readingPictures(node, now, found = null) {
  if (!now) return [];
  const label = found ? `${node.name} of ${node.place}, with your changes` : `${node.name} of ${node.place}: ${node.text}`, pictures = [];
  if (now.lines) {
    const before = found ? Object.entries(found.lines).filter(([name]) => name === "" || name === "mid").map(([name, y]) => [`found ${name}`, y]) : [];
    const colours = found ? { unchanged: "var(--line)", ...Object.fromEntries(before.map(([name]) => [name, "var(--quiet)"])) } : {};
    pictures.push(plot({ ...now, colours, lines: { ...Object.fromEntries(before), ...now.lines } }, label, node.colour));
  }
  if (now.bars) {
    const text = (level) => (level === null ? "silent" : `${level.toFixed(1)} dB`), row = (name, level, colour) => ({ name, value: level ?? 0, colour, text: text(level) });
    const rows = Object.entries(now.bars).flatMap(([name, level]) => [row(name, level, node.colour), ...(found ? [row(`${name}, as found`, found.bars[name], "var(--quiet)")] : [])]);
    pictures.push(bars(rows, label));
  }
  if (now.taps) {
    const loud = now.taps.filter((t) => t[2] !== null).sort((a, b) => b[2] - a[2]).slice(0, 8).sort((a, b) => a[1] - b[1]);
    pictures.push(make("p", { class: "quiet" }, loud.map((t) => `${t[0]} ${t[1].toFixed(0)} ms ${t[2].toFixed(1)} dB`).join(", ") || "silent"));
  }
  return pictures;
}
