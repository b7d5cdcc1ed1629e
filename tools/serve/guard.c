/* guard.c - what is refused before a byte of a body is read; see server.h. */
#include "tools/serve/server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct headers {
    size_t bytes, hosts;
};

static enum MHD_Result count(void *self, enum MHD_ValueKind kind, const char *key,
                             const char *value)
{
    struct headers *h = self;
    (void)kind;
    h->bytes += strlen(key) + (value ? strlen(value) : 0) + 4;
    h->hosts += strcasecmp(key, "Host") == 0;
    return MHD_YES;
}

static const char *header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->c, MHD_HEADER_KIND, name);
}

/* ---- names of this machine ---- */

/* Is the Host's name, without its port, this one? An IPv6 address stands in brackets there. */
static bool is_host(const char *host, const char *name)
{
    size_t n = strlen(name);
    bool six = *host == '[' && strchr(name, ':') && *name != '[';
    host += six;
    if (strncasecmp(host, name, n) != 0 || (six && host[n] != ']')) { return false; }
    return host[n + six] == '\0' || host[n + six] == ':';
}

/* A page elsewhere whose name was made to lead here (DNS rebinding) calls us by that name. */
static bool check_host(const struct exchange *x, struct fault *f)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    const struct server_options *o = &x->of->o;
    const char *host = header(x, "Host");
    bool known = false;
    if (!host) { return fault_set(f, 400, NULL, NULL, "the request names no Host"); }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        known = known || is_host(host, own[i]);
    }
    for (size_t i = 0; i < o->n_hosts; i++) {
        known = known || is_host(host, o->hosts[i]);
    }
    known = known || is_host(host, o->host);
    return known || fault_set(f, 403, "host_forbidden", NULL,
                              "the request is for another host (--allow-host allows more names)");
}

const char *guard_origin(const struct exchange *x)
{
    const char *origin = header(x, "Origin");
    for (size_t i = 0; origin && i < x->of->o.n_origins; i++) {
        if (strcmp(origin, x->of->o.origins[i]) == 0) { return origin; }
    }
    return NULL;
}

static bool check_origin(const struct exchange *x, struct fault *f)
{
    const char *origin = header(x, "Origin");
    const char *host = header(x, "Host");
    if (!origin || guard_origin(x)) { return true; }
    if (strncmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0) { return true; }
    return fault_set(f, 403, "origin_forbidden", NULL,
                     "pages of this origin may not ask (--allow-origin allows it)");
}

/* ---- keys ---- */

/* In a time that depends on the lengths alone. */
static bool is_same(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    unsigned char differ = n != m;
    for (size_t i = 0; i < n; i++) {
        differ |= (unsigned char)(a[i] ^ b[m ? i % m : 0]);
    }
    return differ == 0;
}

static bool check_key(const struct exchange *x, struct fault *f)
{
    const struct server_options *o = &x->of->o;
    const char *given = header(x, "Authorization");
    bool known = o->n_keys == 0;
    bool bearer = given && strncasecmp(given, "Bearer ", 7) == 0;
    for (size_t i = 0; i < o->n_keys && bearer; i++) {
        bool same = is_same(given + 7, o->keys[i]);
        known = known || same;
    }
    return known || fault_set(f, 401, "invalid_api_key", NULL,
                              "no key, or a wrong one: expected 'Authorization: Bearer KEY'");
}

/* ---- all of it ---- */

static bool check_body(const struct exchange *x, struct fault *f)
{
    const char *type = header(x, "Content-Type");
    const char *length = header(x, "Content-Length");
    size_t n = type ? strcspn(type, "; \t") : 0;
    if (n != strlen("application/json") || strncasecmp(type, "application/json", n) != 0) {
        return fault_set(f, 415, NULL, NULL, "expected 'Content-Type: application/json'");
    }
    if (length && strtoull(length, NULL, 10) > x->of->o.max_body) {
        return fault_set(f, 413, NULL, NULL, "a body has at most %zu bytes (--max-body-kib)",
                         x->of->o.max_body);
    }
    return true;
}

bool guard_check(struct exchange *x, const char *method, struct fault *f)
{
    struct headers h = {0};
    (void)MHD_get_connection_values(x->c, MHD_HEADER_KIND, count, &h);
    if (h.bytes > SERVER_MAX_HEADER) {
        return fault_set(f, 431, NULL, NULL, "the headers have %zu bytes, at most %d are read",
                         h.bytes, SERVER_MAX_HEADER);
    }
    if (h.hosts > 1) { return fault_set(f, 400, NULL, NULL, "the request names two Hosts"); }
    if (!check_host(x, f) || !check_origin(x, f)) { return false; }
    if (strcmp(method, "OPTIONS") == 0) { return true; } // browsers ask without a key
    const char *allow = NULL;
    x->route = route_find(&allow, method, x->path, f);
    bool open = x->route && x->route->open;
    struct fault key = {0};
    if (!open && !check_key(x, &key)) { // nobody without one learns which routes there are
        *f = key;
        return false;
    }
    if (!x->route) { return false; }
    return strcmp(method, "POST") != 0 || check_body(x, f);
}
