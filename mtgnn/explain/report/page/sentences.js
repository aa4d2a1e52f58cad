// Sentences to step through, word by word.
function move(by) {
  const number = data.sentences.length;
  const sentence = (chosen.sentence + by + number) % number;
  choose({ sentence, word: 0, task: data.tasks.indexOf(data.sentences[sentence].task) });
}
function step(by) {
  const last = data.sentences[chosen.sentence].words.length - 1;
  choose({ word: Math.min(Math.max(chosen.word + by, 0), last) });
}

// Whether its task listens to nobody, as the first ones of a hierarchy do: then there is nothing to draw.
const hearsNobody = (sentence) => sentence.weights.length === 0;

// Of a label that is given: whether the model's tag of a word is another.
const missed = (sentence, t) => sentence.labels[t] !== null && sentence.labels[t] !== sentence.tags[t];

function verdict(sentence) {
  const words = [`task ${sentence.task}`];
  if (sentence.tags) {
    const label = sentence.labels[chosen.word], wrong = sentence.tags.filter((_, t) => missed(sentence, t)).length;
    if (label !== null) words.push(`labelled ${label}`);
    words.push(`predicted ${sentence.tags[chosen.word]}; ${wrong} of ${sentence.labels.filter((x) => x !== null).length} tags of the sentence are wrong`);
    return words.join(", ");
  }
  if (sentence.label !== null) words.push(`labelled ${sentence.label}`);
  if (sentence.prediction !== null) words.push(`predicted ${sentence.prediction} (${sentence.probability.toFixed(2)})`);
  return words.join(", ");
}

// The words, over the tags that the model gives; in a mailbox they are shaded by how much the step reads them.
function wordLine(sentence) {
  const reads = sentence.senders === null && !hearsNobody(sentence);
  const most = reads ? Math.max(1e-9, ...sentence.weights.map((row) => row[chosen.word])) : 1;
  return html("p", { class: sentence.tags ? "sentence tagged" : "sentence" }, sentence.words.map((word, t) => {
    const share = reads ? sentence.weights[t][chosen.word] / most : 0;
    const style = reads ? `background:${cividis(share)};color:${ink(share)}` : null;
    const tag = sentence.tags ? html("small", missed(sentence, t)
      ? { class: "wrong", title: `labelled ${sentence.labels[t]}` } : {}, sentence.tags[t]) : null;
    return [html("span", { style, "aria-current": String(t === chosen.word), onclick: () => choose({ word: t }) },
      word, tag), " "];
  }));
}

function heatMap(sentence) {
  if (hearsNobody(sentence)) return [];
  const rows = sentence.senders || sentence.words, cell = 25, high = 20;
  const [along, across] = sentence.senders === null ? ["word that is read ↓", "at the word (step) →"]
    : ["listens to ↓", "at the word →"];
  const left = 16 + Math.max(7.2 * along.length, 8.2 * Math.max(...rows.map((name) => name.length)));
  const longest = Math.max(...sentence.words.map((word) => word.length)), top = 36 + 6.5 * longest;
  const most = Math.max(1e-9, ...sentence.weights.flat());
  const cells = sentence.weights.map((row, i) => row.map((weight, t) =>
    svg("rect", { x: left + cell * t, y: top + high * i, width: cell - 1, height: high - 1, class: "pickable",
      fill: cividis(weight / most), onclick: () => choose({ word: t }) },
    svg("title", {}, `${rows[i]} at “${sentence.words[t]}”: ${shown(weight)}`))));
  const names = rows.map((name, i) => svg("text", { x: left - 8, y: top + high * i + 14.5, "text-anchor": "end",
    "font-size": 13 }, name));
  const heads = sentence.words.map((word, t) => svg("text", { "font-size": 13,
    "font-weight": t === chosen.word ? 650 : 400,
    transform: `translate(${left + cell * (t + 0.5)} ${top - 6}) rotate(-50)` }, word));
  const axes = [svg("text", { x: left - 8, y: top - 6, "text-anchor": "end", "font-size": 12, class: "soft" }, along),
    svg("text", { x: left, y: 12, "font-size": 12, class: "soft" }, across)];
  const frame = svg("rect", { x: left + cell * chosen.word - 1.5, y: top - 1.5, width: cell + 2, fill: "none",
    height: high * rows.length + 2, stroke: "#d55e00", "stroke-width": 2 });
  const width = left + Math.max(7.2 * across.length, cell * sentence.words.length + 24 + 5.4 * longest);
  return [html("div", { class: "scroll" }, picture(width, top + high * rows.length + 6,
    "weights at every word", cells, names, heads, axes, frame)),
  under(left, scale(0, most, "weight"))];
}

// To whom the task listens at the chosen word.
function bars(sentence) {
  const names = sentence.senders;
  if (names === null || hearsNobody(sentence)) return null;
  const weights = names.map((_, i) => sentence.weights[i][chosen.word]);
  const most = Math.max(1e-9, ...sentence.weights.flat()), left = 16 + 8.2 * Math.max(...names.map((n) => n.length));
  const lines = names.map((name, i) => [
    svg("text", { x: left - 8, y: 22 * i + 15, "text-anchor": "end", "font-size": 13 }, name),
    svg("rect", { x: left, y: 22 * i + 3, height: 16, width: (190 * weights[i]) / most, rx: 2,
      fill: tint(data.nodes.indexOf(name)) }),
    svg("text", { x: left + (190 * weights[i]) / most + 6, y: 22 * i + 15, "font-size": 12, class: "soft" },
      shown(weights[i]))]);
  return picture(left + 240, 22 * names.length + 4, "weights at the chosen word", lines);
}

function sentenceSection() {
  const button = (label, action, words) =>
    html("button", { type: "button", id: label.replace(" ", "-"), "aria-label": label, onclick: action }, words);
  const place = html("span", { class: "soft", id: "place" }), at = html("h3", { id: "at" });
  const said = html("p", { id: "said" }), words = html("div", { id: "words" });
  const map = html("div"), side = html("div", { style: "flex:0 1 auto" });
  drawers.push(() => {
    const sentence = data.sentences[chosen.sentence];
    place.textContent = `sentence ${chosen.sentence + 1} of ${data.sentences.length}`;
    said.textContent = verdict(sentence);
    const does = hearsNobody(sentence) ? "listens to nobody:" : sentence.senders === null ? "reads at" : "listens at";
    at.textContent = `${sentence.task} ${does} “${sentence.words[chosen.word]}” (word ${chosen.word + 1} of ${sentence.words.length})`;
    words.replaceChildren(wordLine(sentence));
    map.replaceChildren(...heatMap(sentence));
    const beside = bars(sentence);
    side.hidden = beside === null;
    side.replaceChildren(...[beside].filter(Boolean));
  });
  document.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: () => step(1), ArrowLeft: () => step(-1), n: () => move(1), p: () => move(-1) };
    if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) { moves[event.key](); event.preventDefault(); }
  });
  const about = ["Drawn at random, some of each task. Keys: ← and → go from word to word, n and p to the next and previous sentence."];
  if (data.sentences.some((sentence) => sentence.tags)) about.push("Under a word stands the model's tag, with a wavy line where the label is another.");
  return section("Sentence by sentence", about,
    html("div", { class: "bar" }, ...(data.words ? [] : ["task", taskMenu("task whose sentences are shown")]),
      button("previous sentence", () => move(-1), "◀ sentence"),
      button("next sentence", () => move(1), "sentence ▶"), button("previous word", () => step(-1), "◀ word"),
      button("next word", () => step(1), "word ▶"), place), said, words, at,
    html("div", { class: "row" }, side, map));
}
