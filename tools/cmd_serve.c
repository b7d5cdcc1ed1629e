/* cmd_serve.c - `lorac serve`: a model and its adapters behind OpenAI's HTTP interface. */
#define _DEFAULT_SOURCE // usleep
#include "tools/serve/server.h"
#include "tools/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WATCH_US = 100000, PATIENCE = 10 };

struct serving {
    struct bench b;
    struct service s;
    struct server v;
    const char *hosts[MAX_GIVEN], *origins[MAX_GIVEN];
    char *name; // of the base
};

/* ---- options ---- */

/* One key a line. */
static enum lorac_status read_keys(struct server_options *o, const char *path,
                                   struct lorac_err *err)
{
    struct lorac_buf text = {0};
    enum lorac_status st = read_text(&text, path, err);
    for (char *line = text.at; line && *line && !st;) {
        size_t n = strcspn(line, "\r\n");
        if (n && o->n_keys == SERVER_MOST_KEYS) {
            st = lorac_fail(err, LORAC_EUSER, "%s: at most %d keys", path, SERVER_MOST_KEYS);
        } else if (n) {
            o->keys[o->n_keys] = lorac_mem_string(line, n);
            if (!o->keys[o->n_keys++]) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for keys"); }
        }
        line += n + strspn(line + n, "\r\n");
    }
    lorac_buf_free(&text);
    if (!st && o->n_keys == 0) { st = lorac_fail(err, LORAC_EUSER, "%s: holds no key", path); }
    return st;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static enum lorac_status read_options(struct server_options *o, struct engine_options *e,
                                      size_t *adapters, struct serving *g, const struct args *a,
                                      struct lorac_err *err)
{
    size_t port = 8080;
    size_t kib = 4096;
    size_t mib = 1024;
    *o = (struct server_options){.host = args_text(a, "--host", "127.0.0.1"),
                                 .max_connections = 256,
                                 .hosts = g->hosts,
                                 .origins = g->origins};
    *e = (struct engine_options){.max_running = 32, .max_waiting = 256};
    *adapters = 128;
    enum lorac_status st = args_count(&port, a, "--port", err);
    if (!st) { st = args_count(&kib, a, "--max-body-kib", err); }
    if (!st) { st = args_count(&mib, a, "--cache-mib", err); }
    if (!st) { st = args_count(&o->max_connections, a, "--max-connections", err); }
    if (!st) { st = args_count(&e->max_running, a, "--max-running", err); }
    if (!st) { st = args_count(&e->max_waiting, a, "--max-waiting", err); }
    if (!st) { st = args_count(&e->max_length, a, "--max-length", err); }
    if (!st) { st = args_count(adapters, a, "--max-adapters", err); }
    o->port = (uint16_t)port;
    o->max_body = kib << 10;
    e->cache_bytes = mib << 20;
    for (; args_each(a, "--allow-host", o->n_hosts); o->n_hosts++) {
        g->hosts[o->n_hosts] = args_each(a, "--allow-host", o->n_hosts);
    }
    for (; args_each(a, "--allow-origin", o->n_origins); o->n_origins++) {
        g->origins[o->n_origins] = args_each(a, "--allow-origin", o->n_origins);
    }
    if (!st && !is_loopback(o->host) && !args_has(a, "--api-key-file")) {
        st = lorac_fail(err, LORAC_EUSER,
                        "--host %s: others than this machine's own need a key (--api-key-file)",
                        o->host);
    }
    return st;
}

/* ---- start ---- */

/* tokenizer_config.json without paths, special tokens as texts, as vLLM answers it. */
static enum lorac_status make_info(struct lorac_buf *out, const struct serving *g,
                                   struct lorac_err *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    const struct lorac_tokenizer *t = g->b.tokenizer;
    const int32_t ids[] = {lorac_tokenizer_bos(t), lorac_tokenizer_eos(t), -1,
                           lorac_tokenizer_pad(t)};
    char *path = lorac_path_join(g->b.model->dir, "tokenizer_config.json");
    json_t *root = path ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json_is_object(root)) {
        json_decref(root);
        root = json_object();
    }
    lorac_mem_free(path);
    for (size_t i = 0; i < 4; i++) {
        const json_t *v = json_object_get(root, names[i]);
        const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
        if (!text && ids[i] >= 0) { text = lorac_token_text(t, ids[i]); }
        if (text) { (void)json_object_set_new(root, names[i], json_string(text)); }
    }
    static const char *const paths[] = {"name_or_path", "special_tokens_map_file", "tokenizer_file",
                                        "vocab_file", "merges_file"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        (void)json_object_del(root, paths[i]);
    }
    if (!json_object_get(root, "tokenizer_class")) {
        (void)json_object_set_new(root, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    }
    (void)json_object_del(root, "chat_template"); // of whom is asked for (routes.c)
    char *text = json_dumps(root, JSON_COMPACT);
    if (text) { lorac_buf_str(out, text); }
    bool whole = text && !out->no_memory;
    free(text);
    json_decref(root);
    return whole ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for the tokenizer's words");
}

/* --adapter NAME=DIR. */
static enum lorac_status load_given(struct serving *g, const struct args *a, struct lorac_err *err)
{
    for (size_t i = 0; args_each(a, "--adapter", i); i++) {
        const char *given = args_each(a, "--adapter", i);
        const char *dir = strchr(given, '=');
        struct fault f = {0};
        char name[ADAPTERS_MAX_NAME + 2];
        if (!dir || dir == given || (size_t)(dir - given) > ADAPTERS_MAX_NAME) {
            return lorac_fail(err, LORAC_EUSER, "--adapter %s: expected NAME=DIR", given);
        }
        memcpy(name, given, (size_t)(dir - given));
        name[dir - given] = '\0';
        if (strcmp(name, g->s.name) == 0) {
            return lorac_fail(err, LORAC_EUSER, "--adapter %s: is the base's name (--name)", name);
        }
        if (!adapters_load(&g->s.adapters, name, dir + 1, false, &f)) {
            return lorac_fail(err, LORAC_EUSER, "--adapter %s: %s", name, f.text);
        }
    }
    return LORAC_OK;
}

/* What the base is asked for by: --name, or the last part of its folder. */
static char *name_of(const struct args *a)
{
    const char *given = args_text(a, "--name", NULL);
    const char *dir = args_text(a, "--model", "");
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && dir[begin - 1] != '/') {
        begin--;
    }
    return given ? lorac_mem_string(given, strlen(given))
                 : lorac_mem_string(dir + begin, end - begin);
}

static enum lorac_status open_all(struct serving *g, const struct args *a,
                                  const struct server_options *o, const struct engine_options *e,
                                  size_t adapters, struct lorac_err *err)
{
    struct args base = *a; // bench_open() would stack the adapters
    base.n_given = 0;
    for (size_t i = 0; i < a->n_given; i++) {
        if (strcmp(a->given[i]->name, "--adapter") == 0) { continue; }
        base.given[base.n_given] = a->given[i];
        base.values[base.n_given++] = a->values[i];
    }
    enum lorac_status st = bench_open(&g->b, &base, true, err);
    if (st) { return st; }
    g->s.model = g->b.model;
    g->s.tokenizer = g->b.tokenizer;
    g->name = name_of(a);
    if (!g->name) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a name"); }
    if (!*g->name || strlen(g->name) > ADAPTERS_MAX_NAME) {
        return lorac_fail(err, LORAC_EUSER, "--name: expected 1 to %d bytes, found '%.40s'",
                          ADAPTERS_MAX_NAME, g->name);
    }
    g->s.name = g->name;
    g->s.started = time(NULL);
    g->b.dev.by_row = true; // whoever asks beside somebody gets the same answer
    st = talk_open(&g->s.talk, g->b.model, g->b.tokenizer, NULL, err);
    if (!st && !g->s.talk.form.chat) { fprintf(stderr, "note: no chats: %s\n", g->s.talk.why); }
    adapters_open(&g->s.adapters, g->b.model, g->b.tokenizer, adapters, args_has(a, "--force"));
    if (!st && args_has(a, "--adapter-root")) {
        st = adapters_set_root(&g->s.adapters, args_text(a, "--adapter-root", ""), err);
    }
    if (!st) { st = load_given(g, a, err); }
    if (!st) { st = make_info(&g->v.tokenizer_info, g, err); }
    if (!st) { st = engine_open(&g->s.engine, g->b.model, g->b.tokenizer, &g->s.adapters, e, err); }
    if (!st) { st = engine_start(g->s.engine, err); }
    return st ? st : server_start(&g->v, &g->s, o, err);
}

/* Until a signal asks to stop; then what runs is answered. */
static void serve(struct serving *g)
{
    while (!stop_asked()) {
        server_watch(&g->v);
        (void)usleep(WATCH_US);
    }
    fprintf(stderr, "lorac: ending; what runs is answered (a second signal ends it at once)\n");
    engine_stop(g->s.engine, false);
    server_quiesce(&g->v);
    while (!engine_ended(g->s.engine)) {
        server_watch(&g->v);
        (void)usleep(WATCH_US);
    }
    double begin = lorac_clock();
    while (server_busy(&g->v) && lorac_clock() - begin < PATIENCE) { // what was answered is sent
        (void)usleep(WATCH_US);
    }
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    static struct serving g;
    struct server_options o;
    struct engine_options e;
    size_t adapters = 0;
    if (read_options(&o, &e, &adapters, &g, a, &err)) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    enum lorac_status st = LORAC_OK;
    if (args_has(a, "--api-key-file")) {
        st = read_keys(&o, args_text(a, "--api-key-file", ""), &err);
    }
    stop_on_signals();
    if (!st) { st = open_all(&g, a, &o, &e, adapters, &err); }
    if (!st) {
        printf("%s at http://%s%s%s:%u/v1\n", g.s.name, strchr(o.host, ':') ? "[" : "", o.host,
               strchr(o.host, ':') ? "]" : "", server_port(&g.v));
        (void)fflush(stdout);
        serve(&g);
    }
    if (g.s.engine) { engine_stop(g.s.engine, true); }
    engine_join(g.s.engine);
    server_stop(&g.v);
    engine_free(g.s.engine);
    adapters_close(&g.s.adapters);
    for (size_t i = 0; i < o.n_keys; i++) {
        lorac_mem_free(o.keys[i]);
    }
    form_close(&g.s.talk.form);
    lorac_mem_free(g.name);
    bench_close(&g.b);
    return st ? complain(&err) : 0;
}

static const struct option options[] = {
    {"--model", "DIR", "the base model: a folder, or OWNER/NAME in the Hub's cache", true, false},
    {"--name", "NAME", "what it is asked for by (default: the folder's name)", false, false},
    {"--adapter", "NAME=DIR", "a PEFT adapter on it, and what it is asked for by", false, true},
    {"--adapter-root", "DIR", "requests may load adapters from below it, and unload", false, false},
    {"--force", NULL, "take adapters of another base, or that change nothing", false, false},
    COMPUTE_OPTIONS,
    {"--host", "ADDRESS", "to listen at (default: 127.0.0.1; others need a key)", false, false},
    {"--port", "0..65535", "to listen at; 0: one that is free (default: 8080)", false, false},
    {"--api-key-file", "FILE", "keys, one a line: requests must bring one", false, false},
    {"--allow-host", "NAME", "a name that requests may call this machine by", false, true},
    {"--allow-origin", "ORIGIN", "pages of it may ask (https://example.org)", false, true},
    {"--cache-mib", "1..1048576", "memory for keys and values (default: 1024)", false, false},
    {"--max-length", "N", "tokens of prompt and answer (default: what fits)", false, false},
    {"--max-running", "1..256", "answers made at a time (default: 32)", false, false},
    {"--max-waiting", "1..65536", "answers that may wait; more get 429 (default: 256)", false,
     false},
    {"--max-adapters", "1..1000", "adapters in memory (default: 128)", false, false},
    {"--max-connections", "1..4096", "at a time (default: 256)", false, false},
    {"--max-body-kib", "1..65536", "of a request (default: 4096)", false, false},
    {0},
};

const struct verb verb_serve = {
    .name = "serve",
    .usage = "--model DIR [--adapter NAME=DIR]... [options]",
    .summary = "answer other programs over HTTP, with adapters that come and go",
    .about =
        "  lorac serve --model DIR --adapter mine=runs/mine/best\n"
        "  curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' \\\n"
        "      -d '{\"model\": \"mine\", \"prompt\": \"Once\", \"max_tokens\": 20}'\n\n"
        "OpenAI's interface, streams included, with the probabilities of prompts (echo, logprobs) "
        "that evaluation harnesses ask for. \"model\" is the base's name or an adapter's; requests "
        "with different adapters share each step. With --adapter-root requests load and unload "
        "adapters, as vLLM's do. / is a page to talk to them, /metrics is for Prometheus. SIGTERM "
        "answers what runs, then ends.\n",
    .options = options,
    .run = run,
};
