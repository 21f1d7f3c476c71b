// Undo and redo of everything: a list of states that are never changed, and what led from one to the next.

export const MOST_STEPS = 200;

export class History {
  constructor(state, changed) {
    this.state = state;
    this.changed = changed;
    this.past = []; // {state, label}: the state before, and what was done to it
    this.future = []; // {state, label}: the state after, likewise
  }

  // Go on to a state. With ``into`` a run of changes of one kind, such as those of a slider, is one step.
  push(state, label, into = null) {
    const last = this.past[this.past.length - 1];
    if (!into || !last || last.into !== into || this.future.length) this.past.push({ state: this.state, label, into });
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
    this.move(state, label, "done");
  }

  undo() {
    const step = this.past.pop();
    if (!step) return;
    this.future.push({ state: this.state, label: step.label });
    this.move(step.state, step.label, "undone");
  }

  redo() {
    const step = this.future.pop();
    if (!step) return;
    this.past.push({ state: this.state, label: step.label, into: null });
    this.move(step.state, step.label, "redone");
  }

  // End a run of changes: the next one is a step of its own.
  seal() {
    const last = this.past[this.past.length - 1];
    if (last) last.into = null;
  }

  move(state, label, how) {
    const before = this.state;
    this.state = state;
    this.changed(state, before, label, how);
  }
}
