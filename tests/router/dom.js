// The part of a browser that the page at /docs draws itself with. Anything else that it used would fail here.
class Element {
  constructor(name, attributes = {}) { Object.assign(this, { name, attributes, children: [], hidden: false }); }
  setAttribute(key, value) { this.attributes[key] = String(value); }
  append(...children) { this.children.push(...children.map((child) => (child instanceof Element ? child : String(child)))); }
  addEventListener() {}
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(""); }
  set textContent(text) { this.children = [String(text)]; }
}
const byId = Object.fromEntries(IDS.map((id) => [id, new Element("div", { id })]));
const document = {
  createElement: (name) => new Element(name),
  getElementById: (id) => byId[id] ?? null,
  querySelector: () => null,
};
const location = { origin: "http://chat.example", hash: "" };
const matchMedia = () => ({ matches: false });
const addEventListener = () => {};
const fetch = async () => ({ ok: true, json: async () => DOCUMENT });
