// Keeps a page up to date while somebody looks at it: the gateway says that something changed, and the marked parts of the page are
// asked for anew, as whoever is signed in. Without scripts a page is what it was when it was loaded.
//
// It must never run or keep what it was sent: parts of a page of this very address are put in, and the policy of the page holds for them.
'use strict';
(() => {
  // What a part wants to hear of (data-live), and the events of it.
  const KINDS = {
    session: ['session.began', 'session.ended'],
    record: ['session.grew', 'session.ended'],
    lock: ['lock.added', 'lock.ended'],
    review: ['review.changed'],
    grant: ['grant.changed'],
  };
  // Changes that come together are shown together; data-pause of a part says for how long, in milliseconds.
  const PAUSE_MS = 1000;
  // Without a stream, and for what no event tells, such as how long ago something was.
  const AGAIN_MS = 15000;
  const AGED_MS = 60000;
  // Somebody marks text to copy it: the page waits.
  const MARKED_MS = 2000;

  let source = null;
  let again = 0;
  let due = 0;
  let busy = false;
  let shown = 0;

  const part = () => document.querySelector('[data-live]');

  const marks = () => {
    const chosen = getSelection();
    return chosen && !chosen.isCollapsed && chosen.anchorNode && part()?.contains(chosen.anchorNode);
  };

  const put = (old, fresh) => {
    if (!fresh || old.outerHTML === fresh.outerHTML) return;
    const open = new Set([...old.querySelectorAll('details[open][id]')].map((d) => d.id));
    for (const d of fresh.querySelectorAll('details[id]')) d.open = open.has(d.id);
    const at = old.contains(document.activeElement) ? document.activeElement.id : '';
    old.replaceWith(document.adoptNode(fresh));
    if (at) document.getElementById(at)?.focus({ preventScroll: true });
  };

  const renew = async () => {
    due = 0;
    if (busy || marks()) return soon(MARKED_MS);
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { 'HX-Request': 'true' } });
      const elsewhere = answer.headers.get('hx-redirect');
      // Signed out, locked out, or not theirs any more: what they may see instead is the page's to say.
      if (elsewhere) return location.assign(elsewhere);
      if ([401, 403, 404].includes(answer.status)) return location.reload();
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const old of document.querySelectorAll('[data-live], [data-also]')) put(old, fresh.getElementById(old.id));
      shown = Date.now();
    } catch {
      // The gateway cannot be reached: the stream tells when it can.
    } finally {
      busy = false;
    }
    if (!part()) close();
  };

  const soon = (ms) => {
    if (!due && part() && !document.hidden) due = setTimeout(renew, ms);
  };

  const changed = () => {
    const pause = Number(part()?.dataset.pause) || PAUSE_MS;
    soon(Math.max(50, shown + pause - Date.now()));
  };

  const close = () => {
    source?.close();
    source = null;
    clearTimeout(again);
    clearTimeout(due);
    due = 0;
  };

  const open = () => {
    const first = part();
    if (source || !first || document.hidden) return;
    const { session, live } = first.dataset;
    source = new EventSource(`/console/events${session ? `?session=${encodeURIComponent(session)}` : ''}`);
    const wanted = live.split(' ').flatMap((kind) => KINDS[kind] ?? []);
    for (const kind of new Set(['ready', 'reset', ...wanted])) source.addEventListener(kind, changed);
    source.addEventListener('over', () => {
      close();
      soon(0);
    });
    source.onerror = () => {
      // A connection that ends is opened again by the browser; one that was refused is not.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      again = setTimeout(() => {
        open();
        soon(0);
      }, AGAIN_MS);
    };
  };

  // A page that nobody looks at takes no stream from others.
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  addEventListener('pagehide', close);
  addEventListener('pageshow', open);
  setInterval(() => soon(0), AGED_MS);
  open();
})();
