// Everything beside the image. Texts of the tracker are only ever set as text.

import { Graph } from "./graph.js";

const LOG_LINES = 30;
const UNITS = { latency: " ms", processing: " ms", images: " Hz", answers: " Hz", page: " Hz", dropped: "" };
const $ = (id) => document.getElementById(id);

export class Panel {
  // on: { stop(id), mark(id), replace(id) }
  constructor(on) {
    this.on = on;
    this.graph = new Graph($("graph"));
    this.rows = new Map();
    this.states = new Map();
    this.drawn = [];
  }

  // What a scene says; targets that are not told of any more have ended.
  take(scene, marked, replacing) {
    const now = performance.now() / 1000;
    this.problem(scene.numbers.problem);
    $("topic").textContent = scene.numbers.topic ?? "";
    this.numbers(scene, now);
    if (!scene.targets) {
      this.verdict({ id: 0, state: "idle" }, "–");
      return;
    }
    const followed = scene.targets.filter((target) => target.id && target.state !== "idle" && target.state !== "error");
    for (const target of scene.targets) {
      if (target.id) this.note(target);
      this.graph.add(target, now);
    }
    for (const id of this.states.keys()) {
      if (!scene.targets.some((target) => target.id === id)) this.ended(id);
    }
    this.list(followed, marked, replacing);
    const shown = followed.find((target) => target.id === marked) ?? scene.targets.at(-1);
    this.verdict(shown);
    this.graph.draw(shown.id, now);
    $("hint").hidden = followed.length > 0;
    $("stop").disabled = followed.length === 0;
  }

  verdict(target, text = target.state.toUpperCase()) {
    $("state").textContent = text;
    $("state").dataset.state = target.state;
    $("confidence").textContent = target.id && target.confidence !== null ? target.confidence.toFixed(2) : "";
  }

  note(target) {
    const before = this.states.get(target.id);
    if (before === target.state) return;
    this.log(`#${target.id} ${before ? `${before} → ` : ""}${target.state}`);
    if (target.state === "idle" || target.state === "error") this.states.delete(target.id);
    else this.states.set(target.id, target.state);
  }

  ended(id) {
    this.states.delete(id);
    this.log(`#${id} ended`);
  }

  list(targets, marked, replacing) {
    for (const [id, row] of this.rows) {
      if (!targets.some((target) => target.id === id)) {
        row.item.remove();
        this.rows.delete(id);
      }
    }
    for (const target of targets) {
      if (!this.rows.has(target.id)) this.rows.set(target.id, this.row(target.id));
      const row = this.rows.get(target.id);
      row.state.textContent = target.state.toUpperCase();
      row.state.dataset.state = target.state;
      row.score.textContent = ` ${target.confidence?.toFixed(2) ?? ""}`;
      row.mark.setAttribute("aria-pressed", String(target.id === marked));
      row.replace.setAttribute("aria-pressed", String(target.id === replacing));
    }
    $("no-targets").hidden = targets.length > 0;
  }

  row(id) {
    const item = document.createElement("li");
    const button = (text, title, act) => {
      const made = document.createElement("button");
      made.textContent = text;
      made.title = title;
      made.onclick = act;
      item.append(made);
      return made;
    };
    const mark = button(`#${id} `, "Show this one's confidence (T)", () => this.on.mark(id));
    mark.className = "mark";
    const state = document.createElement("span"), score = document.createElement("b");
    mark.append(state, score);
    const replace = button("Replace", "The next selection takes its place", () => this.on.replace(id));
    const stop = button("Stop", "Follow it no longer (S)", () => this.on.stop(id));
    stop.setAttribute("aria-label", `Stop target ${id}`);
    $("targets").append(item);
    return { item, mark, state, score, replace };
  }

  numbers(scene, now) {
    this.drawn.push(now);
    while (this.drawn[0] < now - 2) this.drawn.shift();
    const span = now - this.drawn[0];
    const page = span > 0.3 ? (this.drawn.length - 1) / span : null;
    const values = { ...scene.numbers, page };
    for (const place of document.querySelectorAll("[data-number]")) {
      const name = place.dataset.number, value = values[name];
      if (value === undefined || value === null) continue;
      const digits = name === "dropped" ? 0 : 1;
      place.textContent = value.toFixed(digits) + UNITS[name];
    }
  }

  problem(text) {
    $("problem").textContent = text ?? "";
    $("problem").hidden = !text;
  }

  notice(text, bad = false) {
    $("notice").textContent = text;
    $("notice").dataset.bad = String(bad);
    if (text) this.log(text);
  }

  log(text) {
    const line = document.createElement("li"), time = document.createElement("time");
    time.textContent = new Date().toTimeString().slice(0, 8);
    line.append(time, text);
    $("log").prepend(line);
    while ($("log").children.length > LOG_LINES) $("log").lastChild.remove();
  }
}
