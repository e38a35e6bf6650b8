// The console's page: what is shown, marked and asked for.

import { Link } from "./link.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { Selection } from "./select.js";

const $ = (id) => document.getElementById(id);
const HEATS = ["off", "fused", "robust", "accurate"];

const picture = new Picture($("picture"), $("stage"));
let marked = 0; // target whose confidence is shown
let replacing = 0; // target that the next selection takes the place of
let held = false;
let waiting = null; // scene that came while the image stood still

const panel = new Panel({
  stop: (id) => stop(id),
  mark: (id) => mark(id),
  replace: (id) => { replacing = replacing === id ? 0 : id; refresh(); },
});

const link = new Link({
  scene: (header, image, mask) => {
    waiting = { header, image, mask };
    if (!held) show();
  },
  state: (on, text) => {
    $("link").dataset.state = on ? "on" : "off";
    $("link").textContent = text;
    if (!on) panel.problem(text);
  },
  token: (reason) => {
    if (reason) $("token-reason").textContent = `${reason}: take it from the address that the console printed when it was started.`;
    $("token").showModal();
  },
});

const selection = new Selection(picture, {
  box: (box) => select({ box: box.map(rounded) }),
  point: (point) => select({ point: point.map(rounded) }),
  hold: (on) => {
    held = on;
    $("stage").classList.toggle("drawing", on);
    if (!held && waiting) show();
  },
});

// Only a scene that was drawn is acknowledged, and only then the next one is sent: a page that is
// slow, or hidden, is sent less or nothing.
async function show() {
  const { header, image, mask } = waiting;
  waiting = null;
  let bitmap = null, shape = null;
  try {
    if (image) bitmap = await createImageBitmap(image);
    if (mask) shape = await createImageBitmap(mask);
  } catch {
    panel.problem("the browser cannot read the camera's image");
  }
  requestAnimationFrame(() => {
    if (held) { // drawing began meanwhile: the image must stay
      bitmap?.close();
      shape?.close();
    } else picture.set(header, bitmap, shape);
    const followed = (header.targets ?? []).filter((target) => target.box || target.state === "lost");
    if (header.targets) {
      if (!followed.some((target) => target.id === marked)) marked = followed.at(-1)?.id ?? 0;
      if (!followed.some((target) => target.id === replacing)) replacing = 0;
    }
    picture.marked = followed.length > 1 ? marked : 0;
    latest = header;
    $("mask").disabled = !header.numbers.masks && !picture.show.mask;
    panel.take(header, marked, replacing);
    link.acknowledge(header.seq);
  });
}

let latest = null;

function refresh() {
  picture.marked = marked;
  if (latest) panel.take(latest, marked, replacing);
  picture.draw();
}

function mark(id) {
  marked = id;
  refresh();
}

const rounded = (value) => Math.round(value * 100) / 100;

async function select(what) {
  const stamp = picture.scene?.stamp;
  if (!stamp) return;
  panel.notice("");
  const answer = await link.ask({ type: "select", ...what, stamp, replaces: replacing });
  panel.notice(answer.ok ? `#${answer.target}: ${answer.message}` : answer.message, !answer.ok);
  if (answer.ok) {
    marked = answer.target;
    replacing = 0;
    navigator.vibrate?.(30);
  }
}

async function stop(id) {
  const answer = await link.ask({ type: "stop", target: id });
  panel.notice(answer.message, !answer.ok);
}

// -- what is shown ------------------------------------------------------------------------------

function setShow(change) {
  Object.assign(picture.show, change);
  const { heat, region, votes, mask } = picture.show;
  for (const button of document.querySelectorAll("[data-heat]")) {
    button.setAttribute("aria-pressed", String(button.dataset.heat === heat));
  }
  $("region").setAttribute("aria-pressed", String(region));
  $("votes").setAttribute("aria-pressed", String(votes));
  $("mask").setAttribute("aria-pressed", String(mask));
  link.watch({ debug: heat !== "off" || region || votes, mask });
  picture.draw();
}

for (const button of document.querySelectorAll("[data-heat]")) {
  button.onclick = () => setShow({ heat: button.dataset.heat });
}
$("region").onclick = () => setShow({ region: !picture.show.region });
$("votes").onclick = () => setShow({ votes: !picture.show.votes });
$("mask").onclick = () => setShow({ mask: !picture.show.mask });
$("stop").onclick = () => stop(0);
$("help-button").onclick = () => $("help").showModal();
$("token-form").onsubmit = () => link.useToken($("token-input").value.trim());

// -- keys ---------------------------------------------------------------------------------------

const KEYS = {
  b: () => selection.begin(picture.scene?.targets?.find((target) => target.id === marked)?.box),
  s: () => marked && stop(marked),
  S: () => stop(0),
  t: () => {
    const ids = (latest?.targets ?? []).map((target) => target.id).filter(Boolean);
    if (ids.length) mark(ids[(ids.indexOf(marked) + 1) % ids.length]);
  },
  h: () => setShow({ heat: HEATS[(HEATS.indexOf(picture.show.heat) + 1) % HEATS.length] }),
  r: () => setShow({ region: !picture.show.region }),
  v: () => setShow({ votes: !picture.show.votes }),
  m: () => $("mask").click(), // which does nothing while it is disabled
  "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && selection.drawing) {
    selection.cancel();
    return;
  }
  if (selection.key(event)) return;
  const act = KEYS[event.key] ?? KEYS[event.key.length === 1 && event.key !== "S" ? event.key.toLowerCase() : ""];
  if (act) {
    event.preventDefault();
    act();
  }
});
