/* http.c - connections, requests and their responses; see server.h. */
#define _GNU_SOURCE // POLLRDHUP
#include "tools/serve/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMORY = 64 << 10, BLOCK = 16 << 10 };

/* The page loads its own files and asks its own server; no text becomes markup or a script. */
static const char page_policy[] =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

/* ---- responses ---- */

static enum MHD_Result give(struct exchange *x, int status, struct MHD_Response *r,
                            const char *type)
{
    if (!r) { return MHD_NO; }
    const char *origin = guard_origin(x);
    (void)MHD_add_response_header(r, "Content-Type", type);
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(r, "Cache-Control", "no-store");
    (void)MHD_add_response_header(r, "Content-Security-Policy", page_policy);
    (void)MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    if (x->ask) { (void)MHD_add_response_header(r, "x-request-id", x->ask->id); }
    if (origin) {
        (void)MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
        (void)MHD_add_response_header(r, "Vary", "Origin");
    }
    enum MHD_Result ok = MHD_queue_response(x->c, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

static struct MHD_Response *response_of(const struct lorac_buf *b)
{
    static char nothing[] = "";
    return MHD_create_response_from_buffer(b->n, b->n ? b->at : nothing, MHD_RESPMEM_MUST_COPY);
}

/* `close`: there may be more of the request, which nobody reads. */
static enum MHD_Result refuse(struct exchange *x, const struct fault *f, const char *allow,
                              bool close)
{
    struct lorac_buf b = {0};
    fault_write(&b, f);
    struct MHD_Response *r = response_of(&b);
    lorac_buf_free(&b);
    if (!r) { return MHD_NO; }
    if (allow) { (void)MHD_add_response_header(r, "Allow", allow); }
    if (f->status == 429) { (void)MHD_add_response_header(r, "Retry-After", "1"); }
    if (f->status == 401) { (void)MHD_add_response_header(r, "WWW-Authenticate", "Bearer"); }
    if (f->final) { (void)MHD_add_response_header(r, "x-should-retry", "false"); }
    if (close) { (void)MHD_add_response_header(r, "Connection", "close"); }
    return give(x, f->status, r, "application/json");
}

/* More of a stream; with nothing to send the connection sleeps until there is. */
static ssize_t more(void *self, uint64_t at, char *to, size_t max)
{
    struct exchange *x = self;
    struct ask *a = x->ask;
    (void)at;
    (void)pthread_mutex_lock(&a->lock);
    size_t n = a->out.n - a->sent;
    ssize_t got = 0;
    n = n < max ? n : max;
    if (a->out.no_memory) { // what is missing nobody must take for an answer
        a->call.gone = true;
        got = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (n) {
        memcpy(to, a->out.at + a->sent, n);
        a->sent += n;
        got = (ssize_t)n;
    } else if (a->done) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->c);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return got;
}

static void wake(void *self)
{
    struct exchange *x = self;
    if (!x->suspended) { return; }
    x->suspended = false;
    MHD_resume_connection(x->c);
}

/* The engine has something for it. */
static enum MHD_Result give_answer(struct exchange *x)
{
    struct ask *a = x->ask;
    struct fault f = {0};
    (void)pthread_mutex_lock(&a->lock);
    bool failed = a->out.n == 0 && ask_failed(&f, a);
    if (a->out.n == 0 && a->out.no_memory) {
        failed = !fault_set(&f, 500, NULL, NULL, "no memory for an answer");
        a->call.gone = true;
    }
    (void)pthread_mutex_unlock(&a->lock);
    if (failed) { return refuse(x, &f, NULL, false); }
    if (a->stream) {
        struct MHD_Response *r =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, more, x, NULL);
        return give(x, 200, r, "text/event-stream; charset=utf-8");
    }
    ask_answer(&x->out, a); // the engine is done with it
    if (x->out.no_memory) {
        (void)fault_set(&f, 500, NULL, NULL, "no memory for an answer");
        return refuse(x, &f, NULL, false);
    }
    return give(x, 200, response_of(&x->out), "application/json");
}

/* ---- requests ---- */

static enum MHD_Result preflight(struct exchange *x)
{
    struct MHD_Response *r = response_of(&(struct lorac_buf){0});
    if (!r) { return MHD_NO; }
    if (guard_origin(x)) {
        (void)MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        (void)MHD_add_response_header(r, "Access-Control-Allow-Headers", "Authorization, *");
        (void)MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
    (void)MHD_add_response_header(r, "Allow", "GET, POST, OPTIONS");
    return give(x, 204, r, "text/plain");
}

static void set_busy(struct exchange *x, bool busy)
{
    (void)pthread_mutex_lock(&x->of->lock);
    x->peer->busy = busy;
    x->peer->since = lorac_clock();
    (void)pthread_mutex_unlock(&x->of->lock);
}

void exchange_ask(struct exchange *x, struct ask *a)
{
    (void)pthread_mutex_lock(&x->of->lock);
    x->ask = a;
    (void)pthread_mutex_unlock(&x->of->lock);
}

/* The request has come whole. */
static enum MHD_Result obey(struct exchange *x, const char *method)
{
    struct fault f = {0};
    set_busy(x, true);
    if (strcmp(method, "OPTIONS") == 0) { return preflight(x); }
    if (x->length > x->of->o.max_body) {
        (void)fault_set(&f, 413, NULL, NULL, "a body has at most %zu bytes (--max-body-kib)",
                        x->of->o.max_body);
        return refuse(x, &f, NULL, true);
    }
    x->status = 200;
    x->type = "application/json";
    if (x->body.no_memory) {
        (void)fault_set(&f, 500, NULL, NULL, "no memory for a request");
        return refuse(x, &f, NULL, true);
    }
    bool ok = x->route->run(x, &f);
    lorac_buf_free(&x->body); // what it asks for may take long
    if (!ok) { return refuse(x, &f, NULL, false); }
    if (!x->ask) {
        if (x->out.no_memory) {
            (void)fault_set(&f, 500, NULL, NULL, "no memory for an answer");
            return refuse(x, &f, NULL, false);
        }
        return give(x, x->status, response_of(&x->out), x->type);
    }
    if (!ask_submit(x->ask, &f)) { return refuse(x, &f, NULL, false); }
    struct ask *a = x->ask;
    (void)pthread_mutex_lock(&a->lock);
    bool sleeps = !a->answers;
    a->wake = wake;
    a->self = x;
    x->suspended = sleeps;
    if (sleeps) { MHD_suspend_connection(x->c); }
    (void)pthread_mutex_unlock(&a->lock);
    return sleeps ? MHD_YES : give_answer(x);
}

/* "/v1//models/" is "/v1/models". */
static bool set_path(struct exchange *x, const char *url, struct fault *f)
{
    size_t n = 0;
    for (const char *c = url; *c; c++) {
        if (*c == '/' && n && x->path[n - 1] == '/') { continue; }
        if (n + 1 == sizeof x->path) {
            return fault_set(f, 414, NULL, NULL, "a path has fewer than %zu bytes", sizeof x->path);
        }
        x->path[n++] = *c;
    }
    if (n > 1 && x->path[n - 1] == '/') { n--; }
    x->path[n] = '\0';
    return true;
}

static enum MHD_Result begin(struct exchange *x, const char *url, const char *method)
{
    struct fault f = {0};
    x->begun = true;
    (void)pthread_mutex_lock(&x->of->lock);
    bool ends = x->of->ends;
    (void)pthread_mutex_unlock(&x->of->lock);
    bool ok = set_path(x, url, &f) && guard_check(x, method, &f);
    if (ok && ends) { ok = fault_ending(&f); }
    if (ok) { return MHD_YES; }
    const char *allow = NULL;
    if (f.status == 405) {
        struct fault again = {0};
        (void)route_find(&allow, method, x->path, &again);
    }
    return refuse(x, &f, allow, ends || strcmp(method, "GET") != 0);
}

static enum MHD_Result handle(void *self, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **own)
{
    struct exchange *x = *own;
    (void)self;
    (void)version;
    if (!x) { return MHD_NO; }
    x->c = c;
    if (!x->begun) { return begin(x, url, method); }
    if (*size) {
        bool fits = *size <= x->of->o.max_body -
                                 (x->length < x->of->o.max_body ? x->length : x->of->o.max_body);
        if (fits) { lorac_buf_add(&x->body, data, *size); }
        x->length += *size;
        if (!fits) { x->length = x->of->o.max_body + 1; }
        *size = 0;
        return MHD_YES;
    }
    return x->ask ? give_answer(x) : obey(x, method);
}

/* ---- connections ---- */

/* The request line of a new request is there: what the handler gets as its own. */
static void *on_line(void *self, const char *uri, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct exchange *x = lorac_mem_new(1, sizeof *x);
    (void)uri;
    if (!x || !info || !info->socket_context) {
        lorac_mem_free(x);
        return NULL;
    }
    x->of = self;
    x->peer = info->socket_context;
    x->c = c;
    (void)pthread_mutex_lock(&x->of->lock);
    x->peer->x = x;
    (void)pthread_mutex_unlock(&x->of->lock);
    return x;
}

static void on_end(void *self, struct MHD_Connection *c, void **own,
                   enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *own;
    (void)self;
    (void)c;
    (void)why;
    *own = NULL;
    if (!x) { return; }
    (void)pthread_mutex_lock(&x->of->lock);
    x->peer->x = NULL;
    x->peer->busy = false;
    x->peer->since = lorac_clock();
    (void)pthread_mutex_unlock(&x->of->lock);
    ask_leave(x->ask);
    lorac_buf_free(&x->body);
    lorac_buf_free(&x->out);
    lorac_mem_free(x);
}

static void on_connection(void *self, struct MHD_Connection *c, void **own,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *v = self;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct peer *p = lorac_mem_new(1, sizeof *p);
        *own = p;
        if (!p) { return; }
        *p = (struct peer){.of = v, .fd = info ? info->connect_fd : -1, .since = lorac_clock()};
        (void)pthread_mutex_lock(&v->lock);
        p->next = v->peers;
        v->peers = p;
        v->n_peers++;
        (void)pthread_mutex_unlock(&v->lock);
        return;
    }
    struct peer *p = *own;
    if (!p) { return; }
    (void)pthread_mutex_lock(&v->lock);
    struct peer **link = &v->peers;
    while (*link != p) {
        link = &(*link)->next;
    }
    *link = p->next;
    v->n_peers--;
    (void)pthread_mutex_unlock(&v->lock);
    lorac_mem_free(p);
    *own = NULL;
}

void server_watch(struct server *v)
{
    double now = lorac_clock();
    bool gone = false;
    (void)pthread_mutex_lock(&v->lock);
    for (struct peer *p = v->peers; p; p = p->next) {
        struct pollfd at = {.fd = p->fd, .events = POLLRDHUP};
        if (p->fd < 0) { continue; }
        if (!p->busy) { // its time is for a whole request, whoever sends it byte by byte
            if (now - p->since > SERVER_READ_SECONDS) { (void)shutdown(p->fd, SHUT_RDWR); }
        } else if (p->x && p->x->ask && poll(&at, 1, 0) > 0) {
            p->x->ask->call.gone = true;
            gone = true;
        }
    }
    (void)pthread_mutex_unlock(&v->lock);
    if (gone) { engine_wake(v->s->engine); }
}

bool server_busy(struct server *v)
{
    bool busy = false;
    (void)pthread_mutex_lock(&v->lock);
    for (struct peer *p = v->peers; p; p = p->next) {
        busy = busy || p->busy;
    }
    (void)pthread_mutex_unlock(&v->lock);
    return busy;
}

/* ---- life ---- */

static bool set_address(struct sockaddr_storage *to, const char *host, uint16_t port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)to;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1) { return false; }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    return true;
}

enum lorac_status server_start(struct server *v, struct service *s, const struct server_options *o,
                               struct lorac_err *err)
{
    struct sockaddr_storage address;
    v->s = s;
    v->o = *o;
    (void)pthread_mutex_init(&v->lock, NULL);
    if (!set_address(&address, o->host, o->port)) {
        return lorac_fail(err, LORAC_EUSER, "--host %s: expected an address such as 127.0.0.1",
                          o->host);
    }
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    if (address.ss_family == AF_INET6) { flags |= MHD_USE_IPv6; }
    v->daemon = MHD_start_daemon(
        flags, o->port, NULL, NULL, handle, v, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SERVER_READ_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, v,
        MHD_OPTION_URI_LOG_CALLBACK, on_line, v, MHD_OPTION_LISTEN_BACKLOG_SIZE, 256U,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
    if (!v->daemon) {
        return lorac_fail(err, LORAC_EIO,
                          "cannot listen at %s port %u: is another program there? (--port)",
                          o->host, o->port);
    }
    return LORAC_OK;
}

uint16_t server_port(const struct server *v)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(v->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : v->o.port;
}

void server_quiesce(struct server *v)
{
    (void)pthread_mutex_lock(&v->lock);
    v->ends = true;
    (void)pthread_mutex_unlock(&v->lock);
    MHD_socket fd = MHD_quiesce_daemon(v->daemon);
    if (fd != MHD_INVALID_SOCKET) { (void)close(fd); }
}

void server_stop(struct server *v)
{
    if (v->daemon) { MHD_stop_daemon(v->daemon); }
    lorac_buf_free(&v->tokenizer_info);
    if (v->s) { (void)pthread_mutex_destroy(&v->lock); }
    *v = (struct server){0};
}
