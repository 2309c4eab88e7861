// A person with a browser that knows forms and one cookie, without a browser: signs in on the pages of the local issuer.

const unescape = (text) =>
  text.replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');

// The hidden fields of a page.
const hidden = (page) =>
  Object.fromEntries([...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)].map((m) => [m[1], unescape(m[2])]));

export class Person {
  constructor(name, password) {
    Object.assign(this, { name, password, cookie: '' });
  }

  async open(url) {
    const reply = await fetch(url, { headers: { cookie: this.cookie }, redirect: 'manual' });
    this.cookie = (reply.headers.get('set-cookie') ?? this.cookie).split(';')[0];
    return { status: reply.status, location: reply.headers.get('location'), text: await reply.text() };
  }

  async send(url, page, fields) {
    const body = new URLSearchParams({ ...hidden(page), ...fields });
    const reply = await fetch(url, { method: 'POST', body, headers: { cookie: this.cookie }, redirect: 'manual' });
    return { status: reply.status, location: reply.headers.get('location'), text: await reply.text() };
  }

  // Where the person is sent back to.
  async signIn(url, answer = 'allow') {
    const page = await this.open(url);
    if (page.location) return new URL(page.location);
    const { name, password } = this;
    const back = await this.send(url, page.text, { name, password, answer });
    if (!back.location) throw new Error(`not sent back: ${back.status} ${back.text}`);
    return new URL(back.location);
  }

  // What the last page says.
  async answerDevice(url, code, answer = 'allow') {
    const page = await this.open(url);
    const asked = await this.send(url, page.text, { user_code: code });
    const { name, password } = this;
    return (await this.send(url, asked.text, { name, password, answer })).text;
  }
}
