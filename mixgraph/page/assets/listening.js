/* Excerpts, spectrograms and the transport: what plays, which voice is heard, and from where to where. */
/* One part of the mix alone, a track or a group, before and after its chain; without the console, the dry tracks. */
function partVoices(data, player) {
  const model = player.canLive ? data.console : null;
  const tracks = data.tracks.map((name, row) => ({ id: model ? model.tracks[row].id : `t ${row}`, name, dry: `track ${row}` }));
  const groups = model ? model.groups.map(({ id }) => ({ id, name: data.shown[id] })) : [];
  const all = [...tracks, ...groups], options = (list) => list.map(({ id, name }) => make("option", { value: id }, name));
  const select = make("select", { "aria-label": "A part of the mix alone" }, make("option", { value: "" }, model ? "one part…" : "dry track…"), make("optgroup", { label: "Tracks" }, ...options(tracks)), ...(groups.length ? [make("optgroup", { label: "Sums of tracks" }, ...options(groups))] : []));
  const voice = (part, place) => (place === "before" && part.dry) || `${place} ${part.id}`;
  const hear = (id, place) => player.hear(voice(all.find((part) => part.id === id), place)).catch(player.failed);
  let place = model ? "after" : "before";
  const buttons = (model ? ["before", "after"] : []).map((where) => make("button", { type: "button", "data-place": where, "aria-label": where === "before" ? "Before its chain" : "After its chain", onclick: () => { place = where; if (select.value) hear(select.value, where); } }, where === "before" ? "Before" : "After"));
  select.addEventListener("change", () => { if (select.value) hear(select.value, place); });
  return {
    elements: [select, ...buttons], buttons, hear,
    show(name) {
      const part = all.find((one) => ["before", "after"].some((where) => voice(one, where) === name)), heard = part && voice(part, "before") === name ? "before" : "after";
      if (part) { place = heard; select.value = part.id; }
      for (const b of buttons) { b.disabled = !select.value; b.setAttribute("aria-pressed", String(Boolean(part) && b.dataset.place === heard)); }
    },
  };
}
function startListening(data, Kind = Player) {
  const place = document.getElementById("listen"), bar = document.getElementById("transport");
  let number = 0, channel = "mid";
  const spectra = make("div", { class: "spectra", tabindex: "0", role: "group", "aria-label": "Spectrograms. A click or the arrow keys move to another place; dragging, or the keys [ and ], choose a loop; Escape ends it" });
  const heads = [], loops = [];
  const canPlay = data.excerpts.some((e) => e.audio) && "AudioContext" in window;
  const player = new Kind(data, () => update());
  const here = () => data.excerpts[number];
  function paint() {
    heads.length = loops.length = 0;
    spectra.replaceChildren(...(data.spectra || ["target", "found", "error"]).filter((n) => here().pictures[`${n} ${channel}`]).map((name) => {
      const head = make("div", { class: "playhead" }), loop = make("div", { class: "loop" }); heads.push(head); loops.push(loop);
      const [kind] = name.split(" "), label = data.labels ? data.labels[name] : name, text = kind === "error" ? `${label}: red too loud, blue too quiet` : label;
      return make("div", { class: `spectrum ${kind}` }, make("img", { src: here().pictures[`${name} ${channel}`], alt: `Spectrogram of ${label}, ${channel}`, draggable: "false" }), make("span", {}, text), loop, head);
    }));
    update();
  }
  let down = null;
  const second = (e) => { const box = spectra.getBoundingClientRect(); return Math.min(1, Math.max(0, (e.clientX - box.left) / box.width)) * here().seconds; };
  spectra.addEventListener("pointerdown", (e) => { down = second(e); });
  /* Moves to a place, with another loop or none, and plays on if it played. */
  const move = (offset, loop) => {
    const playing = player.playing; player.stop();
    player.loop = loop; player.offset = Math.min(here().seconds, Math.max(0, offset));
    if (playing) player.play(number).catch(player.failed); else update();
  };
  spectra.addEventListener("pointerup", (e) => {
    if (down === null) return;
    const up = second(e), [low, high] = [Math.min(up, down), Math.max(up, down)], inside = player.loop && up >= player.loop[0] && up < player.loop[1];
    down = null; move(low, high - low > 0.15 ? [low, high] : inside ? player.loop : null);
  });
  spectra.addEventListener("keydown", (e) => {
    const t = player.now(), [low, high] = player.loop || [0, here().seconds], step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
    if (step) move(t + step, player.loop);
    else if (e.key === "[" && t < high - 0.15) move(t, [t, high]);
    else if (e.key === "]" && t > low + 0.15) move(low, [low, t]);
    else if (e.key === "Escape") move(t, null);
    else return;
    e.preventDefault();
  });
  const choices = (items, chosen, act, label) => make("div", { class: "row", role: "group", "aria-label": label }, ...items.map(([key, text]) => {
    const b = make("button", { type: "button", "data-key": key, "aria-pressed": String(key === chosen()) }, text);
    b.addEventListener("click", () => { act(key); for (const o of b.parentNode.children) o.setAttribute("aria-pressed", String(o.dataset.key === chosen())); });
    return b;
  }));
  const leap = (key) => { const playing = player.playing; player.stop(); number = player.number = Number(key); player.offset = 0; player.loop = null; paint(); if (playing) player.play(number).catch(player.failed); };
  const items = data.excerpts.map((e, i) => [String(i), `${e.name} (${e.start.toFixed(0)}–${(e.start + e.seconds).toFixed(0)} s)`]);
  place.append(make("div", { class: "row" }, choices(items, () => String(number), leap, "Excerpt"), choices([["mid", "mid"], ["side", "side"]], () => channel, (k) => { channel = k; paint(); }, "Channel")), spectra);
  if (data.excerpts.every((e) => !Object.keys(e.pictures).length)) spectra.replaceChildren(make("p", {}, "No mixes are in the result, so there are no spectrograms."));
  let buttons = [], button, time, parts;
  function update() {
    const t = player.now();
    heads.forEach((h) => { h.style.left = `${(100 * t) / here().seconds}%`; });
    loops.forEach((l) => { const r = player.loop; l.style.left = `${r ? (100 * r[0]) / here().seconds : 0}%`; l.style.width = `${r ? (100 * (r[1] - r[0])) / here().seconds : 0}%`; });
    if (!button) return;
    button.textContent = player.playing ? "Pause" : "Play"; time.textContent = `${(here().start + t).toFixed(1)} s`;
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.name === player.name)));
    if (parts) parts.show(player.name);
  }
  if (canPlay) {
    const audio = here().audio, toggle = () => { if (player.playing) player.stop(); else player.play(number).catch(failed); };
    const said = make("span", { role: "status", class: "quiet" });
    const failed = (error) => bar.append(make("p", { role: "alert" }, `This browser cannot play the audio: ${error.message}`));
    button = make("button", { class: "play", type: "button", onclick: toggle }, "Play"); time = make("span", { class: "time" });
    const names = data.voices || [["target", "Target"], ["found", "Found mix"], ["dry", "Dry sum"], ["difference", "Difference"], ["live", "Live"]];
    player.failed = failed; player.said = (text) => { said.textContent = text; };
    buttons = names.filter(([n]) => player.has(n)).map(([n, text]) => make("button", { type: "button", "data-name": n, onclick: () => player.hear(n).catch(failed) }, text));
    parts = audio["track 0"] ? partVoices(data, player) : null; player.hearPart = parts && parts.hear;
    const flag = (text, key, act) => { const b = make("button", { type: "button", "aria-pressed": String(player[key]) }, text); b.addEventListener("click", () => { player[key] = !player[key]; b.setAttribute("aria-pressed", String(player[key])); act(); }); return b; };
    if (!audio.target && buttons.length) player.name = buttons[0].dataset.name;
    bar.append(make("div", { class: "row" }, button, time, ...buttons, ...(parts ? parts.elements : []), ...(here().gains ? [flag("Level-matched", "matched", () => player.refresh())] : []), flag("Loop", "looping", () => { if (player.playing) player.play(number).catch(failed); }), said));
    document.addEventListener("keydown", (e) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("select,input:not([type=range])")) return;
      if (e.key === " ") { if (e.target.closest("button,summary,a")) return; e.preventDefault(); toggle(); }
      const b = [...buttons, ...(parts ? parts.buttons : [])][Number(e.key) - 1]; if (b) b.click();
    });
    const tick = () => { if (player.playing) { update(); player.watch(); } requestAnimationFrame(tick); }; tick();
  } else place.prepend(make("p", { class: "quiet" }, data.excerpts.some((e) => e.audio) ? "This browser has no Web Audio: nothing can be heard here; all else is shown." : "This page was made without audio."));
  paint();
  return player;
}
