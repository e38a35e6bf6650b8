// Selecting with mouse, finger, pen or keys. While a pointer draws, the image stands still.

const CLICK = 7; // CSS pixels that a click may move

export class Selection {
  // on: { box(box), point(point), hold(on) }; coordinates in image pixels.
  constructor(picture, on) {
    this.picture = picture;
    this.on = on;
    this.pointer = null;
    const canvas = picture.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get drawing() {
    return this.picture.draft !== null;
  }

  down(event) {
    if (!event.isPrimary || event.button !== 0 || !this.picture.bitmap) return;
    event.preventDefault();
    this.picture.canvas.setPointerCapture(event.pointerId);
    this.pointer = { id: event.pointerId, x: event.clientX, y: event.clientY, dragged: false };
    this.on.hold(true);
  }

  move(event) {
    if (this.pointer?.id !== event.pointerId) return;
    const { x, y } = this.pointer;
    if (Math.hypot(event.clientX - x, event.clientY - y) > CLICK) this.pointer.dragged = true;
    if (!this.pointer.dragged) return;
    const a = this.picture.toImage(x, y), b = this.picture.toImage(event.clientX, event.clientY);
    const box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
    this.picture.draft = { box, touch: event.pointerType === "touch" ? b : null };
    this.picture.draw();
  }

  up(event) {
    if (this.pointer?.id !== event.pointerId) return;
    this.move(event);
    const { dragged } = this.pointer;
    const box = this.picture.draft?.box;
    // Told before the image moves on: its stamp goes with the selection.
    if (dragged && box) this.on.box(box);
    else this.on.point(this.picture.toImage(event.clientX, event.clientY));
    this.cancel();
  }

  cancel() {
    this.pointer = null;
    this.picture.draft = null;
    this.picture.draw();
    this.on.hold(false);
  }

  // The box for the keys, over the middle of the image or the marked target.
  begin(around) {
    const { width, height } = this.picture;
    if (!this.picture.bitmap || this.pointer) return;
    const side = Math.min(width, height) * 0.16;
    const box = around ?? [(width - side) / 2, (height - side) / 2, side, side];
    this.picture.draft = { box: [...box], touch: null };
    this.picture.draw();
    this.picture.canvas.focus({ preventScroll: true });
  }

  // True when the key was for the box.
  key(event) {
    if (!this.drawing || this.pointer) return false;
    const { width, height, draft } = this.picture;
    const step = width * (event.repeat ? 0.02 : 0.0075);
    const [dx, dy] = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    }[event.key] ?? [0, 0];
    if (event.key === "Enter") {
      this.on.box(draft.box);
      this.cancel();
    } else if (event.key === "Escape") {
      this.cancel();
    } else if (dx || dy) {
      let [x, y, w, h] = draft.box;
      if (event.shiftKey) {
        // About the centre, so that a box once placed stays there.
        const wide = Math.max(w + 2 * dx * step, 4), high = Math.max(h - 2 * dy * step, 4);
        [x, y, w, h] = [x + (w - wide) / 2, y + (h - high) / 2, wide, high];
      } else {
        x = Math.min(Math.max(x + dx * step, -w / 2), width - w / 2);
        y = Math.min(Math.max(y + dy * step, -h / 2), height - h / 2);
      }
      draft.box = [x, y, w, h];
      this.picture.draw();
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }
}
