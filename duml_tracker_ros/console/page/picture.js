// Draws the camera's image and, over it, what the tracker made of it. All boxes are in image pixels.

export const COLOURS = {
  tracking: "#56bef0", uncertain: "#f5e142", lost: "#f0803c", error: "#dc8ab5", idle: "#aaaaaa",
};
const REGION = "#c8c8c8";
const VOTE = "#ff5a4f"; // red, as the paper draws predicted boxes
const DRAFT = "#ffffff";
const MASK_ALPHA = 0.5;
const LOUPE = 58; // radius, CSS pixels
// Viridis rises in lightness all the way: readable with any colour vision.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const HEAT = Array.from({ length: 256 }, (_, value) => {
  const place = (value / 255) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mix = (channel) => VIRIDIS[low][channel] + (place - low) * (VIRIDIS[low + 1][channel] - VIRIDIS[low][channel]);
  return [mix(0), mix(1), mix(2), 160 * Math.sqrt(value / 255)];
});

export class Picture {
  constructor(canvas, stage) {
    this.canvas = canvas;
    this.stage = stage;
    this.context = canvas.getContext("2d");
    this.grid = document.createElement("canvas");
    this.tinted = document.createElement("canvas");
    this.scene = null;
    this.bitmap = null;
    this.mask = null;
    this.show = { heat: "off", region: false, votes: false, mask: false };
    this.draft = null; // { box, touch: [x, y] or null }
    this.marked = 0;
    this.width = 640;
    this.height = 480;
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  // Takes over a scene; without a bitmap the former image stays. The mask is white on transparent.
  set(scene, bitmap, mask = null) {
    if (bitmap) {
      this.mask?.close();
      this.mask = mask;
      this.bitmap?.close();
      this.bitmap = bitmap;
      const width = scene.width || bitmap.width, height = scene.height || bitmap.height;
      if (width !== this.width || height !== this.height) {
        [this.width, this.height] = [width, height];
        document.documentElement.style.setProperty("--ratio", `${width} / ${height}`);
        this.fit();
      }
    }
    if (bitmap || !this.scene) this.scene = scene;
    this.draw();
  }

  fit() {
    const room = this.stage.getBoundingClientRect();
    const scale = Math.min(room.width / this.width, room.height / this.height);
    if (!(scale > 0)) return;
    const dense = window.devicePixelRatio || 1;
    this.canvas.style.width = `${this.width * scale}px`;
    this.canvas.style.height = `${this.height * scale}px`;
    this.canvas.width = Math.round(this.width * scale * dense);
    this.canvas.height = Math.round(this.height * scale * dense);
    this.dense = dense;
    this.scale = this.canvas.width / this.width; // canvas pixels for one image pixel
    this.draw();
  }

  // Image pixel under a point of the window, kept inside the image.
  toImage(clientX, clientY) {
    const at = this.canvas.getBoundingClientRect();
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    return [
      clamp(((clientX - at.left) / at.width) * this.width, this.width),
      clamp(((clientY - at.top) / at.height) * this.height, this.height),
    ];
  }

  draw() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (!this.bitmap) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      return;
    }
    context.drawImage(this.bitmap, 0, 0, canvas.width, canvas.height);
    const debug = this.scene?.debug ?? [];
    for (const reading of debug) this.drawGround(reading);
    if (this.show.mask && this.mask) this.drawMask();
    for (const target of this.scene?.targets ?? []) if (target.box) this.drawTarget(target);
    // They lie close to the box that was voted from them: above it, or they would not be seen.
    if (this.show.votes) for (const reading of debug) this.drawVotes(reading);
    if (this.draft) this.drawDraft();
  }

  drawGround(reading) {
    const grid = reading.grids[this.show.heat];
    if (grid) this.drawHeat(grid, reading);
    if (this.show.region) this.frame(reading.region, REGION, 1.5, [8, 6]);
  }

  drawVotes({ votes }) {
    const most = Math.max(...votes.map((vote) => vote[4]), 1e-6);
    // The heaviest last, on top.
    for (const vote of [...votes].reverse()) {
      this.context.globalAlpha = 0.35 + 0.65 * (vote[4] / most);
      this.frame(vote, VOTE, 1.25);
    }
    this.context.globalAlpha = 1;
  }

  drawHeat(values, { rows, cols, area: [x, y, w, h] }) {
    [this.grid.width, this.grid.height] = [cols, rows];
    const small = this.grid.getContext("2d");
    const pixels = small.createImageData(cols, rows);
    values.forEach((value, index) => pixels.data.set(HEAT[value], 4 * index));
    small.putImageData(pixels, 0, 0);
    this.context.imageSmoothingEnabled = true;
    const s = this.scale;
    this.context.drawImage(this.grid, x * s, y * s, w * s, h * s);
  }

  // All targets share one mask: each tints what lies in and around its box.
  drawMask() {
    const { width, height } = this.mask;
    [this.tinted.width, this.tinted.height] = [width, height];
    const small = this.tinted.getContext("2d"), s = width / this.width;
    small.drawImage(this.mask, 0, 0);
    small.globalCompositeOperation = "source-atop";
    for (const { box, state } of this.scene?.targets ?? []) {
      if (!box) continue;
      const [x, y, w, h] = box;
      small.fillStyle = COLOURS[state];
      small.fillRect((x - w / 2) * s, (y - h / 2) * s, 2 * w * s, 2 * h * s);
    }
    this.context.globalAlpha = MASK_ALPHA;
    this.context.drawImage(this.tinted, 0, 0, this.canvas.width, this.canvas.height);
    this.context.globalAlpha = 1;
  }

  drawTarget(target) {
    const colour = COLOURS[target.state];
    const text = `#${target.id} ${target.state.toUpperCase()} ${target.confidence?.toFixed(2) ?? ""}`;
    this.frame(target.box, "#000000a0", target.id === this.marked ? 5.5 : 4.5);
    this.frame(target.box, colour, target.id === this.marked ? 3 : 2);
    this.label(text, target.box, colour);
  }

  frame([x, y, w, h], colour, width, dash = []) {
    const { context, scale: s } = this;
    context.strokeStyle = colour;
    context.lineWidth = width * this.dense;
    context.setLineDash(dash.map((length) => length * this.dense));
    context.strokeRect(x * s, y * s, w * s, h * s);
    context.setLineDash([]);
  }

  label(text, [x, y, , h], colour) {
    const { context, canvas, scale: s, dense } = this;
    context.font = `600 ${13 * dense}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 10 * dense, height = 19 * dense;
    const above = y * s - height - 4 * dense;
    const left = Math.min(Math.max(x * s, 0), canvas.width - width);
    const top = Math.min(above >= 0 ? above : (y + h) * s + 4 * dense, canvas.height - height);
    context.fillStyle = "#000000b0";
    context.fillRect(left, top, width, height);
    context.fillStyle = colour;
    context.textBaseline = "middle";
    context.fillText(text, left + 5 * dense, top + height / 2);
  }

  drawDraft() {
    const { box, touch } = this.draft;
    this.frame(box, "#000000a0", 4);
    this.frame(box, DRAFT, 2, [6, 4]);
    if (touch) this.drawLoupe(box, touch);
  }

  // What the finger hides, three times as large, in the corner away from it.
  drawLoupe(box, [px, py]) {
    const { context, canvas, scale: s, dense } = this;
    const radius = LOUPE * dense, zoom = 3 * s;
    const cx = px * s < canvas.width / 2 ? canvas.width - radius - 8 * dense : radius + 8 * dense;
    const cy = radius + 8 * dense;
    context.save();
    context.beginPath();
    context.arc(cx, cy, radius, 0, 2 * Math.PI);
    context.fillStyle = "#000";
    context.fill();
    context.clip();
    const place = (x, y) => [cx + (x - px) * zoom, cy + (y - py) * zoom];
    context.drawImage(this.bitmap, ...place(0, 0), this.width * zoom, this.height * zoom);
    context.strokeStyle = DRAFT;
    context.lineWidth = 2 * dense;
    context.strokeRect(...place(box[0], box[1]), box[2] * zoom, box[3] * zoom);
    context.restore();
    context.strokeStyle = DRAFT;
    context.beginPath();
    context.arc(cx, cy, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
