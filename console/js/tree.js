// The topics seen so far, as a tree. Knows nothing of the page.

/** Each node costs the browser some hundred bytes beside its payload; this many stay comfortable on a phone. */
const NODES_MAX = 5_000;
/** A branch wider than this starts out folded, so that one noisy branch does not hide all others. */
const OPEN_CHILDREN_MAX = 50;
/** How much of a payload is kept. */
const PAYLOAD_CHARS_MAX = 64 * 1024;

class Node {
  constructor(name, topic, parent) {
    this.name = name;
    this.topic = topic;
    this.parent = parent;
    this.level = parent ? parent.level + 1 : 0;
    this.children = new Map();
    this.sorted = true;
    /** The last message on exactly this topic, and when it came. */
    this.message = undefined;
    this.at = 0;
    /** Messages on this topic and below it. */
    this.count = 0;
    this.second = 0;
    this.rate = 0;
    /** What the reader chose; until then the width of the branch decides. */
    this.chosen = undefined;
  }

  get open() {
    return this.chosen ?? this.children.size <= OPEN_CHILDREN_MAX;
  }
}

export class Tree {
  root = new Node("", "", undefined);
  nodes = 0;
  /** Messages whose topic found no place any more. */
  unplaced = 0;
  /** Grows when the set of visible rows may have changed. */
  version = 0;
  #active = new Set();

  add(message) {
    const node = this.#place(message.topic);
    if (!node) {
      this.unplaced++;
      return undefined;
    }
    // A retained message is news from the past, and so may be the first one of a history: they fill the tree and move
    // no rate.
    const isPast = message.retain || (message.offset !== undefined && (!node.message || node.message.retain));
    node.message = shorten(message);
    node.at = Date.now();
    if (!isPast) {
      for (let each = node; each; each = each.parent) {
        each.count++;
        each.second++;
        this.#active.add(each);
      }
    }
    return node;
  }

  /** Ends a second. `coverage` says which part of it the tree listened, 0 to 1. */
  tick(coverage) {
    for (const node of this.#active) {
      const seen = coverage > 0 ? node.second / coverage : node.rate;
      node.rate = node.rate * 0.4 + seen * 0.6;
      node.second = 0;
      if (node.rate < 0.05) {
        node.rate = 0;
        this.#active.delete(node);
      }
    }
  }

  clear() {
    this.root = new Node("", "", undefined);
    this.nodes = 0;
    this.unplaced = 0;
    this.#active.clear();
    this.version++;
  }

  get(topic) {
    let node = this.root;
    for (const level of topic.split("/")) node = node?.children.get(level);
    return node;
  }

  /** The nodes to show, top down. With a filter: those whose topic contains it, and what leads to them. */
  rows(filter) {
    const rows = [];
    const wanted = filter.toLowerCase();
    const walk = (node) => {
      if (!node.sorted) sort(node);
      for (const child of node.children.values()) {
        const at = rows.length;
        rows.push(child);
        const hit = !wanted || child.topic.toLowerCase().includes(wanted);
        if (wanted || child.open) walk(child);
        if (!hit && rows.length === at + 1) rows.pop();
      }
    };
    walk(this.root);
    return rows;
  }

  /** Folds or unfolds every branch. */
  fold(open) {
    const walk = (node) => {
      for (const child of node.children.values()) {
        child.chosen = open;
        walk(child);
      }
    };
    walk(this.root);
    this.version++;
  }

  #place(topic) {
    let node = this.root;
    let path = "";
    for (const level of topic.split("/")) {
      path = node === this.root ? level : `${path}/${level}`;
      let child = node.children.get(level);
      if (!child) {
        if (this.nodes >= NODES_MAX) return undefined;
        child = new Node(level, path, node);
        node.children.set(level, child);
        node.sorted = false;
        this.nodes++;
        this.version++;
      }
      node = child;
    }
    return node;
  }
}

const collator = new Intl.Collator("en", { numeric: true });

/** Puts the children in order: only when they are looked at, since many new topics may come between two looks. */
function sort(node) {
  const sorted = [...node.children].sort(([a], [b]) => collator.compare(a, b));
  node.children = new Map(sorted);
  node.sorted = true;
}

function shorten(message) {
  if (message.data_base64?.length > PAYLOAD_CHARS_MAX) {
    return { ...message, data_base64: message.data_base64.slice(0, PAYLOAD_CHARS_MAX) };
  }
  if (typeof message.data === "string" && message.data.length > PAYLOAD_CHARS_MAX) {
    return { ...message, data: message.data.slice(0, PAYLOAD_CHARS_MAX) };
  }
  return message;
}
