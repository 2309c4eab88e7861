// Asks a security key (WebAuthn), then sends the form that its button is in. A button says what the key is asked for:
// data-get and data-create are where its challenge comes from; data-use and data-factor go with it.
(() => {
  'use strict';
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const key = (id) => ({ type: 'public-key', id: bytes(id) });

  const challenge = async (form, path, use, factor) => {
    const body = new URLSearchParams({ csrf: form.elements.csrf.value, use: use || '', factor: factor || '', action: form.elements.action ? form.elements.action.value : '' });
    const answer = await fetch(path, { method: 'POST', body, redirect: 'error' });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.detail);
    return said;
  };
  const put = (form, name, value) => {
    let field = form.elements[name];
    if (!field) {
      field = document.createElement('input');
      field.type = 'hidden';
      field.name = name;
      form.append(field);
    }
    field.value = value;
  };
  const create = async (form, asked) => {
    const made = await navigator.credentials.create({ publicKey: {
      challenge: bytes(asked.challenge), rp: { id: asked.site, name: 'Countersign' },
      user: { id: bytes(asked.user), name: asked.name, displayName: asked.name },
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: 'public-key', alg })),
      excludeCredentials: asked.credentials.map(key), attestation: 'none', timeout: 120000,
      authenticatorSelection: { userVerification: 'required', residentKey: 'discouraged' },
    } });
    put(form, 'registration', JSON.stringify({ client_data: text(made.response.clientDataJSON), attestation: text(made.response.attestationObject) }));
  };
  const get = async (form, asked) => {
    const shown = await navigator.credentials.get({ publicKey: {
      challenge: bytes(asked.challenge), rpId: asked.site, allowCredentials: asked.credentials.map(key), userVerification: 'required', timeout: 120000,
    } });
    const { clientDataJSON, authenticatorData, signature } = shown.response;
    put(form, 'assertion', JSON.stringify({ credential: text(shown.rawId), client_data: text(clientDataJSON), authenticator_data: text(authenticatorData), signature: text(signature) }));
  };

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-get], button[data-create]');
    if (!button) return;
    event.preventDefault();
    const form = button.form;
    const { get: from, create: anew, use, factor } = button.dataset;
    const wrong = form.querySelector('[data-wrong]');
    if (form.elements.name && !form.elements.name.reportValidity()) return;
    wrong.hidden = true;
    button.disabled = true;
    try {
      if (!window.PublicKeyCredential) throw new Error('This browser knows no security keys.');
      if (from) await get(form, await challenge(form, from, use, factor));
      if (anew) await create(form, await challenge(form, anew, 'register'));
      // Not by its property: a field of that name is in its way.
      form.setAttribute('action', button.formAction);
      form.submit();
    } catch (e) {
      wrong.textContent = e.name === 'NotAllowedError' ? 'The key was not used: try again.' : e.name === 'InvalidStateError' ? 'This key is registered already.' : e.message;
      wrong.hidden = false;
      button.disabled = false;
    }
  });
})();
