'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const { events, spans, tracks, links } = data;
const $ = id => document.getElementById(id);
const svg = $('lanes'), overview = $('overview'), tip = $('tip'), list = $('list');
const GUTTER = 54, LANE = 100, AXIS = 24, FOOT = data.stop === null ? 6 : 26;
const ROW = 17, TRACKS = tracks.length ? tracks.length * ROW + 10 : 0;
const MARKS = 15, PROGRAM = 29, DPC = 40, POLL = 60, TICKS = 84;
const irqlColour = level => `var(--irql${Math.min(level, 3)})`;

// What can be switched off: [label, classes of events, kinds of arrows]. A library's events are a
// class of their own besides.
const groups = [
  ['atomics', ['write', 'read'], []],
  ['cells', ['cell'], []],
  ['kernel calls', ['ddi', 'pool'], []],
  ['notes', ['note'], []],
  ['wakes', [], ['wake', 'cancel']],
  ['DPC arrows', [], ['dpc', 'work', 'timer', 'lock']],
  ['events of libraries', ['library'], []],
];
const off = new Set();
let column = [], shown = [];          // event -> column, column -> event
let left = 0, scale = 10, width = 800; // the first column in view, pixels a column
let chosen = null, hover = null;

const isOff = e => off.has(e.class) || (e.library && off.has('library'));
function columns() {
  column = []; shown = [];
  for (const [i, e] of events.entries()) {
    column.push(shown.length);
    if (!isOff(e)) shown.push(i);
  }
}
const total = () => Math.max(shown.length, 1);
const inner = () => Math.max(width - GUTTER, 50);
const x = c => GUTTER + (c - left) * scale;
const start = i => x(column[i]);
const middle = i => x(column[i] + .5);
// The right edge of what ends with event i.
const stop = i => x(i + 1 < events.length ? column[i + 1] : total());
const top_ = cpu => AXIS + cpu * LANE;

function clamp() {
  const least = inner() / total();
  scale = Math.min(Math.max(scale, Math.min(least, 14)), 260);
  left = Math.max(0, Math.min(left, total() - inner() / scale));
}
function fit() { scale = Math.min(inner() / total(), 100); left = 0; draw(); }
function zoom(factor, at) {
  const c = left + (at - GUTTER) / scale;
  scale *= factor; clamp();
  left = c - (at - GUTTER) / scale;
  draw();
}
function show(i) { left = column[i] - inner() / scale / 2; draw(); }

const escape = text => String(text).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const rect = (a, b, y, h, fill, more = '') =>
  `<rect x="${a.toFixed(1)}" y="${y}" width="${Math.max(b - a, .8).toFixed(1)}" height="${h}" fill="${fill}" ${more}/>`;
const text = (a, y, s, more = '') => `<text x="${a.toFixed(1)}" y="${y}" ${more}>${escape(s)}</text>`;

// A text that fits between two places, or as much of it as does.
function label(a, b, y, s, more) {
  a = Math.max(a, GUTTER);
  const room = Math.floor((b - a - 8) / 6.3);
  if (room < 2) return '';
  return text(a + 4, y, s.length <= room ? s : s.slice(0, room - 1) + '…', more);
}

// As label; where there is no room inside, behind it, if the next thing leaves some.
function labelNear(a, b, next, y, s, inside) {
  const wide = s.length * 6.3 + 8;
  if (wide <= b - a || next - b < wide) return label(a, b, y, s, inside);
  return b < GUTTER ? '' : text(b + 3, y, s, 'style="fill:var(--soft)"');
}

// A mark's picture around a point.
function glyph(kind, a, y, r = 5) {
  const f = `fill="var(--${kind})"`, p = points => `<polygon points="${points}" ${f}/>`;
  switch (kind) {
    case 'spawn': return p(`${a},${y - r} ${a + r},${y} ${a},${y + r} ${a - r},${y}`);
    case 'wake': return p(`${a},${y - r} ${a + r},${y + r - 1} ${a - r},${y + r - 1}`);
    case 'call': return `<circle cx="${a}" cy="${y}" r="${r - 1.5}" ${f}/>`;
    case 'drop': return `<rect x="${a - r + 1.5}" y="${y - r + 1.5}" width="${2 * r - 3}" height="${2 * r - 3}" fill="none" stroke="var(--drop)" stroke-width="2"/>`;
    case 'cancel': return `<path d="M${a - r + 1},${y - r + 1}L${a + r - 1},${y + r - 1}M${a + r - 1},${y - r + 1}L${a - r + 1},${y + r - 1}" stroke="var(--cancel)" stroke-width="2.6"/>`;
    case 'timer': return `<circle cx="${a}" cy="${y}" r="${r - 1}" fill="none" stroke="var(--timer)" stroke-width="2"/><path d="M${a},${y - 2.5}V${y}H${a + 2.5}" stroke="var(--timer)" fill="none"/>`;
    case 'stop': { // an octagon
      const k = r * .42;
      return p([[-k, -r], [k, -r], [r, -k], [r, k], [k, r], [-k, r], [-r, k], [-r, -k]].map(q => `${a + q[0]},${y + q[1]}`).join(' '));
    }
  }
  return '';
}
const marks = new Set(['spawn', 'wake', 'call', 'drop', 'cancel', 'timer', 'stop']);
const ticks = { write: 12, read: 6, cell: 6, ddi: 12, pool: 9, note: 4, other: 6 };

function arrow(a, y, b, z, colour, strong, opacity) {
  const bend = Math.min(Math.max(Math.abs(b - a) * .4, 12), 90), flat = Math.abs(y - z) < 50;
  const c = flat ? `${a},${y - 16} ${b - 4},${z - 22} ${b},${z - 5}` : `${a + bend},${y} ${b - bend},${z} ${b - 5},${z}`;
  const head = flat ? `${b},${z} ${b - 3.5},${z - 6} ${b + 3.5},${z - 6}` : `${b},${z} ${b - 6},${z - 3.5} ${b - 6},${z + 3.5}`;
  return `<path d="M${a.toFixed(1)},${y}C${c}" fill="none" stroke="${colour}" stroke-width="${strong ? 1.8 : 1.1}" opacity="${opacity}"/>`
    + `<polygon points="${head}" fill="${colour}" opacity="${Math.min(opacity * 1.3, 1)}"/>`;
}

const arrowFrom = { wake: MARKS, cancel: MARKS, dpc: TICKS, work: TICKS, timer: TICKS, lock: TICKS };
const arrowTo = { wake: POLL + 8, cancel: POLL + 8, dpc: DPC + 8, work: DPC + 8, timer: MARKS, lock: PROGRAM + 4 };
const arrowColour = { wake: 'var(--wake)', cancel: 'var(--cancel)', dpc: 'var(--dpc)', work: 'var(--work)', timer: 'var(--timer)', lock: 'var(--lock)' };

const kindNames = { task: 'tasks', irp: 'IRPs', work: 'work', thread: 'waits' };
// The colour and the opacity of an object's state.
function stateColour(kind, state) {
  switch (state) {
    case 'running': return [{ task: 'poll', irp: 'dpc', work: 'work' }[kind], .75];
    case 'queued': return ['wake', .45];
    case 'ready': return ['wake', .45];
    case 'pending': return ['timer', .4];
    case 'waiting': return ['wait', .35];
  }
  return ['note', .25];
}

function draw() {
  width = svg.clientWidth || 800;
  clamp();
  const right = left + inner() / scale;
  const height = AXIS + data.processors * LANE + TRACKS + FOOT;
  svg.style.height = height + 'px';
  const out = [];
  const inView = s => column[s.from] < right && (s.to + 1 < events.length ? column[s.to + 1] : total()) > left;
  const visible = spans.filter(inView);
  const of = kind => visible.filter(s => s.kind === kind);
  for (const s of of('irql')) {
    out.push(rect(start(s.from), stop(s.to), top_(s.cpu) + 2, LANE - 4, irqlColour(s.irql)));
  }
  // A veil over each lane where its processor does not run.
  for (let cpu = 0; cpu < data.processors; cpu++) {
    let from = GUTTER;
    for (const s of of('run')) if (s.cpu === cpu) {
      if (start(s.from) > from) out.push(rect(from, start(s.from), top_(cpu) + 2, LANE - 4, 'var(--veil)'));
      from = Math.max(from, stop(s.to));
    }
    if (from < width) out.push(rect(from, width, top_(cpu) + 2, LANE - 4, 'var(--veil)'));
  }
  // Time, where there is room for it.
  let last = -1e9;
  for (let c = Math.max(0, Math.floor(left)); c < Math.min(shown.length, right); c++) {
    const e = events[shown[c]];
    if (!e || x(c) - last < 78) continue;
    last = x(c);
    out.push(`<path d="M${last.toFixed(1)},${AXIS - 5}V${height - FOOT}" stroke="var(--line)" stroke-width="1"/>`);
    out.push(text(last + 3, 14, `step ${e.step}`, 'class="axis"'));
  }
  for (const s of of('program')) {
    out.push(rect(start(s.from), stop(s.to) - 1, top_(s.cpu) + PROGRAM, 7, 'var(--program)', 'rx="3"'));
  }
  for (const s of of('thread')) {
    const [a, b, y] = [start(s.from), stop(s.to) - 1, top_(s.cpu) + PROGRAM];
    out.push(rect(a, b, y - 1, 9, 'var(--thread)', 'rx="3"') + label(a, b, y + 7, s.label, 'class="thread"'));
  }
  for (const s of of('work')) {
    const [a, b, y] = [start(s.from), stop(s.to) - 1, top_(s.cpu) + DPC];
    out.push(rect(a, b, y, 17, 'var(--work)', 'rx="4"') + label(a, b, y + 12.5, s.label, 'style="fill:var(--dpcink)"'));
  }
  for (const s of of('dpc')) {
    const [a, b, y] = [start(s.from), stop(s.to) - 1, top_(s.cpu) + DPC];
    out.push(rect(a, b, y, 17, 'var(--dpc)', 'rx="4"') + label(a, b, y + 12.5, s.label, 'style="fill:var(--dpcink)"'));
  }
  const polls = of('poll');
  for (const [n, s] of polls.entries()) {
    const [a, b, y] = [start(s.from), stop(s.to) - 1, top_(s.cpu) + POLL];
    const next = polls.slice(n + 1).find(other => other.cpu === s.cpu);
    out.push(rect(a, b, y, 17, 'var(--poll)', 'rx="4"')
      + labelNear(a, b, next ? start(next.from) : width, y + 12.5, s.label, 'style="fill:var(--pollink)"'));
  }
  for (const s of of('wait')) {
    const [a, b, y] = [start(s.from), start(s.to), top_(s.cpu) + PROGRAM + 3.5];
    out.push(`<path d="M${a},${y}H${Math.max(b, a + 4)}" stroke="var(--wait)" stroke-width="9" stroke-dasharray="3 3"/>`);
    out.push(label(a, b, y - 8, `waits for ${s.label}`, 'style="fill:var(--wait)"'));
  }
  for (let c = Math.max(0, Math.floor(left)); c < Math.min(shown.length, right); c++) {
    const i = shown[c], e = events[i];
    const size = ticks[e.class];
    if (size) {
      const y = top_(e.cpu) + TICKS + 12 - size;
      const w = Math.min(Math.max(scale * .35, .8), 3);
      if (scale >= 55) out.push(label(x(c) - 3, x(c + 1), top_(e.cpu) + TICKS - 1, e.text, 'class="said"'));
      out.push(rect(middle(i) - w / 2, middle(i) + w / 2, y, size, `var(--${e.class === 'other' ? 'note' : e.class})`));
    }
  }
  const arrows = links.filter(l => !off.has('>' + l.kind) && column[l.to] >= left && column[l.from] <= right);
  const faint = arrows.length > 40 ? .4 : .9;
  for (const l of arrows) {
    const [a, b] = [events[l.from], events[l.to]];
    const lit = hover === l.from || hover === l.to || chosen === l.from || chosen === l.to;
    const from = a.class === 'timer' || a.class === 'poll' ? MARKS : arrowFrom[l.kind];
    out.push(arrow(middle(l.from), top_(a.cpu) + from, l.kind === 'timer' ? middle(l.to) : start(l.to),
      top_(b.cpu) + arrowTo[l.kind], arrowColour[l.kind], lit || l.kind === 'wake' || l.kind === 'cancel',
      lit ? 1 : column[l.from] < left && column[l.to] > right ? .2 : faint));
  }
  // Marks, each with its subject where the next one leaves room for it.
  const nextMark = [];
  for (let c = Math.min(shown.length - 1, Math.ceil(right)); c >= Math.max(0, Math.floor(left) - 1); c--) {
    const i = shown[c], e = events[i];
    if (!marks.has(e.class) || e.class === 'stop') continue;
    const [a, y] = [middle(i), top_(e.cpu) + MARKS], said = e.text.replace(/ \(.*/, '').replace(/^timer /, '');
    out.push(glyph(e.class, a, y, scale < 3 ? 3.5 : 5.5));
    if (a + 12 + said.length * 6 < (nextMark[e.cpu] ?? width)) out.push(text(a + 8, y + 4, said, 'class="said"'));
    nextMark[e.cpu] = a - 6;
  }
  if (data.stop !== null && column[data.stop] >= left - 1 && column[data.stop] <= right + 1) {
    const a = middle(data.stop), e = events[data.stop];
    out.push(`<path d="M${a},${AXIS}V${height - 4}" stroke="var(--stop)" stroke-width="2" stroke-dasharray="5 3"/>`);
    out.push(glyph('stop', a, top_(e.cpu) + MARKS, 9));
    const room = Math.floor(Math.max(a - GUTTER, width - a) / 6.6), before = a - GUTTER > width - a;
    const said = e.text.length > room ? e.text.slice(0, room - 1) + '…' : e.text;
    out.push(text(before ? a - 6 : a + 6, height - 10, said, `text-anchor="${before ? 'end' : 'start'}" style="fill:var(--stop);font-weight:650"`));
  }
  for (const [i, colour] of [[chosen, 'var(--wake)'], [hover, 'var(--soft)']]) {
    if (i !== null && column[i] >= left && column[i] <= right) {
      out.push(`<path d="M${middle(i)},${AXIS}V${height - FOOT}" stroke="${colour}" stroke-width="1"/>`);
    }
  }
  for (const [row, track] of tracks.entries()) {
    const y = top_(data.processors) + 7 + row * ROW;
    for (const bar of track.bars.filter(inView)) {
      const [a, b] = [middle(bar.from), Math.max(middle(bar.to), middle(bar.from) + 1)];
      const [colour, opacity] = stateColour(track.kind, bar.state);
      out.push(rect(Math.max(a, GUTTER), b, y, ROW - 4, `var(--${colour})`, `opacity="${opacity}" rx="2"`)
        + label(a, b, y + 10, bar.label, 'class="life"'));
    }
  }
  // The lanes' names, over what has scrolled under them.
  out.push(rect(0, GUTTER, 0, height, 'var(--card)'));
  for (let cpu = 0; cpu < data.processors; cpu++) {
    out.push(text(12, top_(cpu) + LANE / 2 + 4, `P${cpu}`, 'class="cpu"'));
    out.push(`<path d="M0,${top_(cpu)}H${width}" stroke="var(--line)"/>`);
  }
  if (tracks.length) out.push(`<path d="M0,${top_(data.processors)}H${width}" stroke="var(--line)"/>`);
  for (const [row, track] of tracks.entries()) {
    if (row && tracks[row - 1].kind === track.kind) continue;
    out.push(text(12, top_(data.processors) + 17 + row * ROW, kindNames[track.kind], 'class="life"'));
  }
  svg.innerHTML = out.join('');
  drawOverview();
}

function drawOverview() {
  const k = width / total(), h = 30 / data.processors, out = [];
  const at = (i, end) => (end ? (i + 1 < events.length ? column[i + 1] : total()) : column[i]) * k;
  for (const s of spans) {
    if (s.kind === 'run') out.push(rect(at(s.from), at(s.to, true), 2 + s.cpu * h, h - 1, 'var(--program)', 'opacity=".45"'));
    if (s.kind === 'dpc' || s.kind === 'work') out.push(rect(at(s.from), at(s.to, true), 2 + s.cpu * h, h - 1, `var(--${s.kind})`));
    if (s.kind === 'wait') out.push(rect(at(s.from), at(s.to), 2 + s.cpu * h, h - 1, 'var(--wait)'));
  }
  if (data.stop !== null) out.push(rect(at(data.stop) - 1, at(data.stop) + 2, 0, 34, 'var(--stop)'));
  out.push(`<rect x="${left * k}" y="1" width="${Math.min(inner() / scale, total()) * k}" height="31" rx="4" fill="var(--soft)" fill-opacity=".13" stroke="var(--soft)"/>`);
  overview.innerHTML = out.join('');
}

// The event under the pointer: of the lane it is in, the nearest within a few pixels, marks first.
function under(mouse) {
  const box = svg.getBoundingClientRect(), px = mouse.clientX - box.left;
  const cpu = Math.floor((mouse.clientY - box.top - AXIS) / LANE), at = left + (px - GUTTER) / scale - .5;
  if (px < GUTTER) return null;
  let best = null, least = 1e9;
  const reach = Math.max(1, 7 / scale);
  for (let c = Math.max(0, Math.ceil(at - reach)); c <= Math.min(shown.length - 1, at + reach); c++) {
    const e = events[shown[c]];
    const d = Math.abs(c - at) + (e.cpu === cpu ? 0 : reach) - (marks.has(e.class) ? reach / 2 : 0);
    if (d < least) { least = d; best = shown[c]; }
  }
  return best;
}
const placeOf = e => e.place + (e.library ? ', by a library' : '');
function describe(i) {
  const e = events[i];
  const inside = spans.filter(s => s.cpu === e.cpu && s.from <= i && i <= s.to && ['dpc', 'poll', 'wait'].includes(s.kind));
  const irql = spans.find(s => s.kind === 'irql' && s.cpu === e.cpu && s.from <= i && i <= s.to);
  const where = inside.map(s => s.kind === 'poll' ? `poll of ${s.label}` : s.kind === 'wait' ? `wait for ${s.label}` : s.label).join(', ');
  return `<b>${escape(e.text)}</b>\n${e.place ? escape(placeOf(e)) + '\n' : ''}<i>processor ${e.cpu} · ${escape(irql ? irql.label : 'IRQL ' + e.irql)} · step ${e.step} · time ${(e.time / 10).toLocaleString('en')} µs`
    + (where ? `\nin ${escape(where)}` : '') + '</i>';
}
function point(mouse) {
  const i = under(mouse);
  tip.hidden = i === null;
  if (i !== null) {
    tip.innerHTML = describe(i);
    tip.style.left = Math.min(mouse.clientX + 14, innerWidth - tip.offsetWidth - 12) + 'px';
    tip.style.top = (mouse.clientY + 18 + tip.offsetHeight > innerHeight ? mouse.clientY - tip.offsetHeight - 12 : mouse.clientY + 18) + 'px';
  }
  if (i !== hover) { hover = i; draw(); }
}
function choose(i, scroll) {
  if (chosen !== null) list.children[chosen].classList.remove('chosen');
  chosen = i;
  const row = list.children[i];
  row.classList.add('chosen');
  if (scroll) list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 2;
  if (column[i] < left || column[i] > left + inner() / scale) show(i); else draw();
}

let drag = null;
svg.onpointerdown = e => { drag = { at: e.clientX, left, moved: false }; svg.setPointerCapture(e.pointerId); };
svg.onpointermove = e => {
  if (!drag) return point(e);
  if (Math.abs(e.clientX - drag.at) > 3) { drag.moved = true; tip.hidden = true; }
  left = drag.left - (e.clientX - drag.at) / scale;
  draw();
};
svg.onpointerup = e => {
  if (drag && !drag.moved) { const i = under(e); if (i !== null) choose(i, true); }
  drag = null;
};
svg.onpointerleave = () => { tip.hidden = true; hover = null; draw(); };
svg.addEventListener('wheel', e => {
  e.preventDefault();
  if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { left += (e.deltaX || e.deltaY) / scale; draw(); }
  else zoom(Math.exp(-e.deltaY * .0016), e.clientX - svg.getBoundingClientRect().left);
}, { passive: false });
const jump = e => { left = (e.clientX - overview.getBoundingClientRect().left) / width * total() - inner() / scale / 2; draw(); };
overview.onpointerdown = e => { overview.setPointerCapture(e.pointerId); jump(e); };
overview.onpointermove = e => { if (e.buttons) jump(e); };
$('fit').onclick = fit;
$('in').onclick = () => zoom(1.5, GUTTER + inner() / 2);
$('out').onclick = () => zoom(1 / 1.5, GUTTER + inner() / 2);
$('end').onclick = () => { left = total(); draw(); };
onkeydown = e => {
  if (e.target === $('query')) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (step) {
    const c = chosen === null ? Math.floor(left) : column[chosen] + step;
    if (shown[c] !== undefined) choose(shown[c], true);
  } else if (e.key === 'f' || e.key === 'F') fit();
  else if (e.key === '+') $('in').click();
  else if (e.key === '-') $('out').click();
  else if (e.key === 'Home') { left = 0; draw(); }
  else if (e.key === 'End') $('end').click();
  else return;
  e.preventDefault();
};
onresize = draw;

// The words around the picture.
document.querySelector('h1').textContent = data.title;
const ended = data.stop === null ? null : events[data.stop];
$('outcome').textContent = ended ? ended.text.replace(/^stop: /, '') : 'no finding';
$('outcome').className = ended ? 'bad' : 'good';
const end = events[events.length - 1] || { step: 0, time: 0 };
const number = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
$('facts').textContent = [number(data.processors, 'processor'), number(events.length, 'event'), number(end.step, 'step'),
  `${(end.time / 10).toLocaleString('en')} µs of virtual time`, number(spans.filter(s => s.kind === 'dpc').length, 'DPC run'),
  ...[events.filter(e => / starts, routine /.test(e.text) && e.text.startsWith('work item')).length].filter(n => n).map(n => number(n, 'work item run'))].join(' · ');
for (const [name, classes, arrows] of groups) {
  const present = events.some(e => classes.includes(e.class) || (e.library && classes.includes('library'))) || links.some(l => arrows.includes(l.kind));
  if (!present) continue;
  const box = document.createElement('label');
  box.innerHTML = `<input type="checkbox" checked>${name}`;
  box.firstChild.onchange = change => {
    const middleColumn = left + inner() / scale / 2, anchor = shown[Math.min(Math.floor(middleColumn), total() - 1)];
    for (const key of [...classes, ...arrows.map(kind => '>' + kind)]) change.target.checked ? off.delete(key) : off.add(key);
    columns();
    if (anchor !== undefined) left = column[anchor] - inner() / scale / 2;
    draw();
  };
  $('filters').append(box);
}
const swatch = (inside, name) => `<span><svg viewBox="0 0 18 14">${inside}</svg>${name}</span>`;
const box = (colour, name) => swatch(`<rect y="1" width="18" height="12" rx="3" fill="var(--${colour})"/>`, name);
const tick = (colour, name) => swatch(`<rect x="7" y="1" width="3" height="12" fill="var(--${colour})"/>`, name);
const sign = (kind, name) => swatch(glyph(kind, 9, 7), name);
const line = (colour, name) => swatch(`<path d="M0,7H12" stroke="var(--${colour})" stroke-width="2"/><polygon points="18,7 11,3 11,11" fill="var(--${colour})"/>`, name);
const levels = [...new Set(events.map(e => Math.min(e.irql, 3)))].sort();
const classesIn = new Set(events.map(e => e.class)), kinds = new Set(links.map(l => l.kind)), lasting = new Set(spans.map(s => s.kind));
const states = new Set(tracks.flatMap(track => track.bars.map(bar => bar.state)));
const legend = levels.map(level => box('irql' + level, ['PASSIVE_LEVEL', 'APC_LEVEL', 'DISPATCH_LEVEL', 'above DISPATCH_LEVEL'][level]));
for (const [have, entry] of [
  [lasting.has('program'), box('program', 'program')], [lasting.has('thread'), box('thread', 'system thread')],
  [lasting.has('work'), box('work', 'work item')], [lasting.has('dpc'), box('dpc', 'DPC routine')], [lasting.has('poll'), box('poll', 'poll')],
  [lasting.has('wait'), swatch('<path d="M0,7H18" stroke="var(--wait)" stroke-width="9" stroke-dasharray="3 3"/>', 'waits for a spin lock')],
  ...['spawn', 'call', 'wake', 'cancel', 'drop'].map(kind => [classesIn.has(kind), sign(kind, kind)]),
  [classesIn.has('timer'), sign('timer', 'timer, clock')], [data.stop !== null, sign('stop', 'the end')],
  [classesIn.has('write'), tick('write', 'atomic write')], [classesIn.has('read'), tick('read', 'atomic read')],
  [classesIn.has('cell'), tick('cell', 'cell')], [classesIn.has('ddi'), tick('ddi', 'kernel call')], [classesIn.has('pool'), tick('pool', 'pool')],
  [kinds.has('wake'), line('wake', 'wake → poll')], [kinds.has('cancel'), line('cancel', 'cancel → poll')],
  [kinds.has('dpc'), line('dpc', 'queued → runs')], [kinds.has('work'), line('work', 'queued → runs')], [kinds.has('timer'), line('timer', 'set → expires')], [kinds.has('lock'), line('lock', 'released → goes on')],
  [tracks.length, box('note', 'idle')], [states.has('queued') || states.has('ready'), box('wake', 'scheduled, queued')],
  [states.has('pending'), box('timer', 'IRP pending')], [states.has('waiting'), box('wait', 'thread waits')],
]) if (have) legend.push(entry);
$('legend').innerHTML = legend.join('') + '<span>pale: another processor runs</span>';

list.innerHTML = events.map(e => `<li class="${e.class}"><i>${String(e.step).padStart(6)} ${String(e.time).padStart(9)}</i>`
  + `<b style="background:${irqlColour(e.irql)}">P${e.cpu}</b>${escape(e.text)}${e.place ? ` <i>${escape(placeOf(e))}</i>` : ''}</li>`).join('');
list.onclick = e => { const row = e.target.closest('li'); if (row) { const i = [...list.children].indexOf(row); choose(i, false); show(i); } };
$('query').oninput = () => {
  const wanted = $('query').value.toLowerCase();
  let hits = 0;
  for (const [i, row] of [...list.children].entries()) {
    const hit = !wanted || `${events[i].text} ${events[i].place ?? ''}`.toLowerCase().includes(wanted);
    row.classList.toggle('hidden', !hit);
    hits += hit;
  }
  $('hits').textContent = wanted ? number(hits, 'event') : '';
};

columns();
width = svg.clientWidth || 800;
// All of a short run; of a long one what is asked for in the address (#first-last), its end if it stopped, else its beginning.
const asked = /^#(\d+)-(\d+)$/.exec(location.hash);
if (asked) {
  left = +asked[1]; scale = inner() / Math.max(asked[2] - asked[1], 1);
} else if (total() * 5 > inner()) {
  scale = 9; left = ended ? total() : 0;
} else scale = Math.min(inner() / total(), 100);
draw();
if (ended) choose(data.stop, true);
