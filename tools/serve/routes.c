/* routes.c - what each path answers; see server.h. */
#include "tools/serve/server.h"

#include <stdio.h>
#include <string.h>

/* ---- models ---- */

static void write_model(struct lorac_buf *b, const char *id, int64_t created, const char *parent,
                        size_t length, const struct talk *talk)
{
    lorac_buf_str(b, "{\"id\":");
    lorac_buf_json(b, id, strlen(id));
    lorac_buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"lorac\",\"root\":",
                     (long long)created);
    lorac_buf_json(b, id, strlen(id)); // paths stay inside
    lorac_buf_printf(b, ",\"chat_template\":%s,\"parent\":",
                     !talk->form.chat ? "null"
                     : talk->own      ? "\"own\""
                                      : "\"base\"");
    if (parent) {
        lorac_buf_json(b, parent, strlen(parent));
        lorac_buf_str(b, ",\"max_model_len\":null}");
    } else {
        lorac_buf_printf(b, "null,\"max_model_len\":%zu}", length);
    }
}

/* All models, or the one that is asked for. */
static size_t write_models(struct exchange *x, const char *only)
{
    struct service *s = x->of->s;
    size_t n = 0;
    if (!only || strcmp(only, s->name) == 0) {
        write_model(&x->out, s->name, s->started, NULL, engine_length(s->engine), &s->talk);
        n++;
    }
    (void)pthread_mutex_lock(&s->adapters.lock);
    for (const struct adapter_name *a = s->adapters.names; a; a = a->next) {
        if (only && (n || strcmp(only, a->name) != 0)) { continue; }
        lorac_buf_str(&x->out, n ? "," : "");
        write_model(&x->out, a->name, a->created, s->name, 0, &a->is->talk);
        n++;
    }
    (void)pthread_mutex_unlock(&s->adapters.lock);
    return n;
}

static bool get_models(struct exchange *x, struct fault *f)
{
    (void)f;
    lorac_buf_str(&x->out, "{\"object\":\"list\",\"data\":[");
    (void)write_models(x, NULL);
    lorac_buf_str(&x->out, "]}");
    return true;
}

static bool get_model(struct exchange *x, struct fault *f)
{
    const char *name = x->path + strlen("/v1/models/");
    if (write_models(x, name)) { return true; }
    return fault_set(f, 404, "model_not_found", "model", "there is no model or adapter '%.128s'",
                     name);
}

/* ---- adapters ---- */

static bool get_adapters(struct exchange *x, struct fault *f)
{
    struct adapters *a = &x->of->s->adapters;
    struct lorac_buf *b = &x->out;
    (void)f;
    lorac_buf_str(b, "{\"object\":\"list\",\"data\":[");
    (void)pthread_mutex_lock(&a->lock);
    for (const struct adapter_name *n = a->names; n; n = n->next) {
        const struct lorac_adapter *is = n->is->adapter;
        lorac_buf_str(b, n == a->names ? "{\"id\":" : ",{\"id\":");
        lorac_buf_json(b, n->name, strlen(n->name));
        size_t rank = 0;
        for (size_t i = 0; i < is->n && lorac_adapter_has_rank(is); i++) {
            rank = is->site[i].R > rank ? is->site[i].R : rank;
        }
        lorac_buf_printf(b,
                         ",\"object\":\"lora_adapter\",\"generation\":\"%s\",\"method\":\"%s\","
                         "\"rank\":%zu,\"bytes\":%zu,\"template\":%s}",
                         n->is->content, lorac_adapter_title(is), rank,
                         is->n_params * sizeof(float),
                         is->template_json ? is->template_json : "null");
    }
    lorac_buf_printf(b, "],\"resident_generations\":%zu,\"max_adapters\":%zu,\"can_load\":%s}",
                     a->n_residents, a->most, a->root ? "true" : "false");
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

/* Of a call that changes something no key may go unread. */
static bool check_keys(const json_t *root, const char *const *known, struct fault *f)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0) {
            i++;
        }
        if (!known[i]) { return fault_set(f, 400, NULL, key, "'%.64s' is not known here", key); }
    }
    return true;
}

static bool post_load(struct exchange *x, struct fault *f)
{
    static const char *const known[] = {"lora_name", "lora_path", "load_inplace", NULL};
    struct service *s = x->of->s;
    const char *name = NULL;
    const char *path = NULL;
    bool replace = false;
    json_t *root = field_root(x->body.at, x->body.n, f);
    if (!root) { return false; }
    bool ok = check_keys(root, known, f) && field_text(&name, root, "lora_name", true, f) &&
              field_text(&path, root, "lora_path", true, f) &&
              field_bool(&replace, root, "load_inplace", f);
    if (ok && strcmp(name, s->name) == 0) {
        ok = fault_set(f, 400, "invalid_lora_name", "lora_name", "'%s' is the base", name);
    }
    if (ok) { ok = adapters_load_below(&s->adapters, name, path, replace, f); }
    if (ok) {
        x->type = "text/plain; charset=utf-8";
        lorac_buf_printf(&x->out, "Success: LoRA adapter '%s' added successfully.", name);
        if (replace) { engine_wake(s->engine); }
    }
    json_decref(root);
    return ok;
}

static bool post_unload(struct exchange *x, struct fault *f)
{
    static const char *const known[] = {"lora_name", "lora_int_id", NULL};
    struct service *s = x->of->s;
    const char *name = NULL;
    json_t *root = field_root(x->body.at, x->body.n, f);
    if (!root) { return false; }
    bool ok = check_keys(root, known, f) && field_text(&name, root, "lora_name", true, f);
    if (ok && !s->adapters.root) {
        ok = fault_set(f, 403, "adapter_path_forbidden", NULL,
                       "this server's adapters stay: it was started without --adapter-root");
    }
    if (ok) { ok = adapters_unload(&s->adapters, name, f); }
    if (ok) {
        x->type = "text/plain; charset=utf-8";
        lorac_buf_printf(&x->out, "Success: LoRA adapter '%s' removed successfully.", name);
        engine_wake(s->engine);
    }
    json_decref(root);
    return ok;
}

/* ---- completions, tokens ---- */

static bool ask(struct exchange *x, enum ask_kind kind, struct fault *f)
{
    struct ask *a = ask_read(x->of->s, kind, x->body.at, x->body.n, f);
    if (a) { exchange_ask(x, a); }
    return a != NULL;
}

static bool post_completions(struct exchange *x, struct fault *f)
{
    return ask(x, ASK_COMPLETION, f);
}

static bool post_chat(struct exchange *x, struct fault *f)
{
    return ask(x, ASK_CHAT, f);
}

static bool post_classify(struct exchange *x, struct fault *f)
{
    return ask(x, ASK_LABELS, f);
}

static bool post_embeddings(struct exchange *x, struct fault *f)
{
    (void)x;
    return fault_set(f, 501, "not_supported", NULL,
                     "this server has no embeddings: lorac embed makes them");
}

static bool post_tokenize(struct exchange *x, struct fault *f)
{
    return ask_tokenize(&x->out, x->of->s, x->body.at, x->body.n, f);
}

static bool post_detokenize(struct exchange *x, struct fault *f)
{
    return ask_detokenize(&x->out, x->of->s, x->body.at, x->body.n, f);
}

/* The chat template is that of ?model=NAME, or the base's. */
static bool get_tokenizer_info(struct exchange *x, struct fault *f)
{
    const struct lorac_buf *info = &x->of->tokenizer_info;
    struct service *s = x->of->s;
    struct resident *who = NULL;
    const char *name = MHD_lookup_connection_value(x->c, MHD_GET_ARGUMENT_KIND, "model");
    if (name && !ask_who(&who, s, name, f)) { return false; }
    const struct lorac_chat *chat = ask_talk(s, who)->form.chat;
    lorac_buf_add(&x->out, info->at, info->n - 1); // up to where it closes
    if (chat) {
        lorac_buf_str(&x->out, ",\"chat_template\":");
        lorac_buf_json(&x->out, lorac_chat_text(chat), strlen(lorac_chat_text(chat)));
    }
    lorac_buf_str(&x->out, "}");
    adapters_release(&s->adapters, who);
    return true;
}

/* ---- how it goes ---- */

static bool get_health(struct exchange *x, struct fault *f)
{
    (void)f;
    lorac_buf_str(&x->out, "{\"status\":\"ok\"}");
    return true;
}

static void write_metric(struct lorac_buf *b, const char *name, const char *type, const char *help,
                         double value)
{
    lorac_buf_printf(b, "# HELP lorac_%s %s\n# TYPE lorac_%s %s\nlorac_%s %.17g\n", name, help,
                     name, type, name, value);
}

static void write_histogram(struct lorac_buf *b, const char *name, const char *help,
                            const uint64_t *bucket, double sum, uint64_t n)
{
    uint64_t below = 0;
    lorac_buf_printf(b, "# HELP lorac_%s %s\n# TYPE lorac_%s histogram\n", name, help, name);
    for (size_t i = 0; engine_buckets[i] > 0.0; i++) {
        below += bucket[i];
        lorac_buf_printf(b, "lorac_%s_bucket{le=\"%g\"} %llu\n", name, engine_buckets[i],
                         (unsigned long long)below);
    }
    lorac_buf_printf(b,
                     "lorac_%s_bucket{le=\"+Inf\"} %llu\nlorac_%s_sum %.9g\nlorac_%s_count %llu\n",
                     name, (unsigned long long)n, name, sum, name, (unsigned long long)n);
}

static bool get_metrics(struct exchange *x, struct fault *f)
{
    struct lorac_buf *b = &x->out;
    struct engine_stats e;
    struct adapters *a = &x->of->s->adapters;
    (void)f;
    engine_stats(&e, x->of->s->engine);
    x->type = "text/plain; version=0.0.4; charset=utf-8";
    (void)pthread_mutex_lock(&a->lock);
    size_t residents = a->n_residents;
    (void)pthread_mutex_unlock(&a->lock);
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        {"num_requests_running", "gauge", "Answers being made.", (double)e.running},
        {"num_requests_waiting", "gauge", "Answers that wait.", (double)e.waiting},
        {"kv_cache_usage_perc", "gauge", "Part of the cache in use.",
         (double)e.rows_used / (double)e.rows},
        {"kv_cache_filled_perc", "gauge", "The same with what earlier requests left.",
         (double)e.rows_filled / (double)e.rows},
        {"adapters_loaded", "gauge", "Adapters in memory.", (double)residents},
        {"requests_total", "counter", "Requests that have ended.", (double)e.calls},
        {"requests_failed_total", "counter", "Of them failed.", (double)e.failed},
        {"requests_abandoned_total", "counter", "Of them left by their client.", (double)e.gone},
        {"prompt_tokens_total", "counter", "Tokens of prompts.", (double)e.prompt_tokens},
        {"prompt_tokens_cached_total", "counter", "Of them found in the cache.",
         (double)e.shared_tokens},
        {"generation_tokens_total", "counter", "Tokens of answers.", (double)e.answer_tokens},
        {"steps_total", "counter", "Batches.", (double)e.steps},
        {"step_rows_total", "counter", "Rows of all batches.", (double)e.step_rows},
        {"num_preemptions_total", "counter", "Answers that gave their rows back.",
         (double)e.preempted},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        write_metric(b, all[i].name, all[i].type, all[i].help, all[i].value);
    }
    write_histogram(b, "time_to_first_token_seconds", "From a request to its first token.",
                    e.first_bucket, e.first_sum, e.first_n);
    write_histogram(b, "e2e_request_latency_seconds", "From a request to its end.", e.whole_bucket,
                    e.whole_sum, e.whole_n);
    return true;
}

/* ---- the page ---- */

static bool get_page(struct exchange *x, struct fault *f)
{
    (void)f;
    for (const struct page *p = pages; p->path; p++) {
        if (strcmp(p->path, x->path) != 0) { continue; }
        x->type = p->type;
        lorac_buf_add(&x->out, p->bytes, p->n);
    }
    return true;
}

/* ---- the table ---- */

static const struct route routes[] = {
    {"GET", "/health", true, get_health},
    {"GET", "/metrics", false, get_metrics},
    {"GET", "/tokenizer_info", false, get_tokenizer_info},
    {"POST", "/tokenize", false, post_tokenize},
    {"POST", "/detokenize", false, post_detokenize},
    {"GET", "/v1/models", false, get_models},
    {"GET", "/v1/models/*", false, get_model},
    {"POST", "/classify", false, post_classify},
    {"POST", "/v1/completions", false, post_completions},
    {"POST", "/v1/chat/completions", false, post_chat},
    {"POST", "/v1/embeddings", false, post_embeddings},
    {"GET", "/v1/lora_adapters", false, get_adapters},
    {"POST", "/v1/load_lora_adapter", false, post_load},
    {"POST", "/v1/unload_lora_adapter", false, post_unload},
};
static const struct route page_route = {"GET", "/", true, get_page};

static bool is_path(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*') { return strcmp(pattern, path) == 0; }
    return strncmp(pattern, path, n - 1) == 0 && path[n - 1];
}

const struct route *route_find(const char **allow, const char *method, const char *path,
                               struct fault *f)
{
    const struct route *found = NULL;
    if (strcmp(method, "HEAD") == 0) { method = "GET"; }
    for (const struct page *p = pages; p->path && !found; p++) {
        if (strcmp(p->path, path) == 0) { found = &page_route; }
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !found; i++) {
        if (is_path(routes[i].path, path)) { found = &routes[i]; }
    }
    if (!found) {
        (void)fault_set(f, 404, "unknown_route", NULL,
                        "there is nothing at this path (the API's paths begin with /v1/)");
        return NULL;
    }
    if (strcmp(found->method, method) == 0) { return found; }
    *allow = found->method;
    (void)fault_set(f, 405, NULL, NULL, "%s is for %s alone", found->path, found->method);
    return NULL;
}
