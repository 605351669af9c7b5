// The floor of proxying: no check, nothing changed.
export default {
  fetch(request, env) {
    const url = request.url;
    return fetch(env.HEADSCALE_URL + url.slice(url.indexOf("/", 8)), request);
  },
};
