// Confidence over time, in the colour of the state it was reached in.

import { COLOURS } from "./picture.js";

const SECONDS = 30;
const GAP = 1.5; // longer without an image, and the line breaks

export class Graph {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = new Map(); // target id -> [{ time, value, state }]
  }

  add(target, time) {
    if (!target.id) return;
    const points = this.points.get(target.id) ?? [];
    points.push({ time, value: target.confidence ?? 0, state: target.state });
    while (points[0].time < time - SECONDS) points.shift();
    this.points.set(target.id, points);
    for (const [id, others] of this.points) {
      if (others.at(-1).time < time - SECONDS) this.points.delete(id);
    }
  }

  draw(id, now) {
    const { canvas } = this;
    const dense = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dense), height = Math.round(canvas.clientHeight * dense);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.strokeStyle = "#2b3440";
    context.lineWidth = dense;
    const pad = 2 * dense;
    const across = (time) => width - ((now - time) / SECONDS) * width;
    const up = (value) => height - pad - value * (height - 2 * pad);
    for (const value of [0, 0.5, 1]) {
      context.beginPath();
      context.moveTo(0, up(value));
      context.lineTo(width, up(value));
      context.stroke();
    }
    context.lineWidth = 2 * dense;
    const points = this.points.get(id) ?? [];
    for (let i = 1; i < points.length; i++) {
      const [a, b] = [points[i - 1], points[i]];
      if (b.time - a.time > GAP) continue;
      context.strokeStyle = COLOURS[b.state];
      context.beginPath();
      context.moveTo(across(a.time), up(a.value));
      context.lineTo(across(b.time), up(b.value));
      context.stroke();
    }
  }
}
