/* adapters.c - see adapters.h. */
#define _XOPEN_SOURCE 700 // realpath
#include "tools/serve/adapters.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- chats ---- */

/* Clients need not learn where a folder is. */
static const char *without(const char *text, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(text, dir, n) == 0 ? text + n : text;
}

enum lorac_status talk_open(struct talk *t, const struct lorac_model *m,
                            const struct lorac_tokenizer *tokenizer, const struct lorac_adapter *a,
                            struct lorac_err *err)
{
    struct lorac_err why = {0};
    struct lorac_buf text = {0};
    const char *file = NULL;
    *t = (struct talk){0};
    enum lorac_status st = a ? lorac_chat_template(&text, &file, a->name, &why) : LORAC_OK;
    lorac_buf_free(&text);
    t->own = st || file;
    if (!st) { st = form_open(&t->form, m, tokenizer, a, &why); }
    if (st == LORAC_ENOMEM || st == LORAC_EIO) { return lorac_fail(err, st, "%s", why.text); }
    if (st) {
        const char *rest = without(why.text, t->own ? a->name : m->dir);
        (void)snprintf(t->why, sizeof t->why, "the %s%.200s", t->own ? "adapter" : "model", rest);
    }
    return LORAC_OK;
}

/* ---- adapters ---- */

static void resident_free(struct resident *r)
{
    if (!r) { return; }
    lorac_adapter_free(r->adapter);
    form_close(&r->talk.form);
    lorac_mem_free(r->saved);
    lorac_mem_free(r);
}

void adapters_open(struct adapters *a, const struct lorac_model *m, const struct lorac_tokenizer *t,
                   size_t most, bool force)
{
    *a = (struct adapters){.model = m, .tokenizer = t, .most = most, .force = force};
    (void)pthread_mutex_init(&a->lock, NULL);
}

enum lorac_status adapters_set_root(struct adapters *a, const char *dir, struct lorac_err *err)
{
    a->root = realpath(dir, NULL);
    if (!a->root || !lorac_path_is_dir(a->root)) {
        return lorac_fail(err, LORAC_EUSER, "--adapter-root %s: is no folder", dir);
    }
    return LORAC_OK;
}

void adapters_close(struct adapters *a)
{
    while (a->names) {
        struct adapter_name *n = a->names;
        a->names = n->next;
        lorac_mem_free(n->path);
        lorac_mem_free(n);
    }
    while (a->residents) {
        struct resident *r = a->residents;
        a->residents = r->next;
        resident_free(r);
    }
    free(a->root);
    if (a->model) { (void)pthread_mutex_destroy(&a->lock); }
    *a = (struct adapters){0};
}

bool adapters_is_name(const char *name)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);
    return n > 0 && n <= ADAPTERS_MAX_NAME && strspn(name, good) == n && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static struct adapter_name **find(struct adapters *a, const char *name)
{
    struct adapter_name **link = &a->names;
    while (*link && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static bool is_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Is there any difference in what they answer? */
static bool is_equal(const struct resident *a, const struct resident *b)
{
    const struct lorac_chat *x = a->talk.form.chat;
    const struct lorac_chat *y = b->talk.form.chat;
    return strcmp(a->content, b->content) == 0 && a->talk.own == b->talk.own &&
           strcmp(a->talk.why, b->talk.why) == 0 &&
           is_text(x ? lorac_chat_text(x) : NULL, y ? lorac_chat_text(y) : NULL) &&
           is_text(a->adapter->template_json, b->adapter->template_json);
}

static struct resident *find_equal(const struct adapters *a, const struct resident *to)
{
    struct resident *r = a->residents;
    while (r && !is_equal(r, to)) {
        r = r->next;
    }
    return r;
}

/* Is there no room for one more? Adapters may have several names; *passes: one is only there for
 * requests that still run. */
static bool is_full(bool *passes, const struct adapters *a)
{
    size_t names = 0;
    size_t used = 0;
    *passes = false;
    for (const struct adapter_name *n = a->names; n; n = n->next) {
        names++;
    }
    for (const struct resident *r = a->residents; r; r = r->next) {
        used += r->names || r->leases; // others go with the next step
        *passes = *passes || (!r->names && r->leases);
    }
    *passes = *passes && names < a->most;
    return names >= a->most || used >= a->most;
}

static bool check_name(struct adapters *a, const char *name, bool replace, struct fault *f)
{
    bool passes = false;
    if (!adapters_is_name(name)) {
        return fault_set(f, 400, "invalid_lora_name", "lora_name",
                         "an adapter's name is 1 to %d of A-Z a-z 0-9 . _ -, found '%s'",
                         ADAPTERS_MAX_NAME, name);
    }
    (void)pthread_mutex_lock(&a->lock);
    bool taken = *find(a, name) != NULL;
    bool full = !taken && is_full(&passes, a);
    (void)pthread_mutex_unlock(&a->lock);
    if (taken && !replace) {
        (void)fault_set(f, 409, "lora_adapter_already_loaded", "lora_name",
                        "the adapter '%s' is loaded already (load_inplace replaces it)", name);
        f->final = true;
        return false;
    }
    if (full) {
        (void)fault_set(f, 409, "lora_adapter_limit_exceeded", NULL,
                        "%zu adapters are loaded, which is the most (--max-adapters)", a->most);
        f->final = !passes;
        return false;
    }
    return true;
}

/* A loaded adapter becomes a resident under this name; it, or its equal that is there already. */
static bool settle(struct adapters *a, struct adapter_name *n, struct resident *r)
{
    (void)pthread_mutex_lock(&a->lock);
    struct resident *same = find_equal(a, r);
    n->is = same ? same : r;
    n->is->names++;
    if (!same) {
        r->next = a->residents;
        a->residents = r;
        a->n_residents++;
    }
    struct adapter_name **link = find(a, n->name);
    struct adapter_name *was = *link;
    n->next = was ? was->next : NULL;
    *link = n;
    if (was) { was->is->names--; }
    (void)pthread_mutex_unlock(&a->lock);
    if (was) { lorac_mem_free(was->path); }
    lorac_mem_free(was);
    return same != NULL;
}

bool adapters_load(struct adapters *a, const char *name, const char *dir, bool replace,
                   struct fault *f)
{
    struct lorac_err err = {0};
    if (!check_name(a, name, replace, f)) { return false; }
    struct adapter_name *n = lorac_mem_new(1, sizeof *n);
    struct resident *r = lorac_mem_new(1, sizeof *r);
    char *path = lorac_mem_string(dir, strlen(dir));
    enum lorac_status st = n && r && path
                               ? load_adapter(&r->adapter, a->model, dir, a->force, &err)
                               : lorac_fail(&err, LORAC_ENOMEM, "no memory for an adapter");
    if (!st && !a->force) { st = lorac_template_check_tokenizer(r->adapter, a->tokenizer, &err); }
    if (!st) { st = lorac_adapter_content(r->content, r->adapter, &err); }
    if (!st) { st = lorac_saved_read(&r->saved, r->adapter->template_json, &err); }
    if (!st) { st = talk_open(&r->talk, a->model, a->tokenizer, r->adapter, &err); }
    if (st) {
        resident_free(r);
        lorac_mem_free(n);
        lorac_mem_free(path);
        return fault_of(f, 422, "invalid_lora_adapter", "lora_path", &err);
    }
    *n = (struct adapter_name){.path = path, .created = time(NULL)};
    memcpy(n->name, name, strlen(name) + 1);
    if (settle(a, n, r)) { resident_free(r); }
    return true;
}

/* Folders that lie above the root, and those that its own name stands for, stay out of messages. */
static void hide_root(struct fault *f, const char *root)
{
    size_t n = strlen(root);
    for (char *at = strstr(f->text, root); at; at = strstr(at, root)) {
        size_t gone = n + (at[n] == '/');
        memmove(at, at + gone, strlen(at + gone) + 1);
    }
}

bool adapters_load_below(struct adapters *a, const char *name, const char *path, bool replace,
                         struct fault *f)
{
    if (!a->root) {
        return fault_set(f, 403, "adapter_path_forbidden", NULL,
                         "this server loads no adapters: it was started without --adapter-root");
    }
    if (!*path) {
        return fault_set(f, 400, "invalid_lora_path", "lora_path", "lora_path must not be empty");
    }
    if (!check_name(a, name, replace, f)) { return false; }
    char *joined =
        *path == '/' ? lorac_mem_string(path, strlen(path)) : lorac_path_join(a->root, path);
    char *real = joined ? realpath(joined, NULL) : NULL;
    size_t n = strlen(a->root);
    bool below = real && strncmp(real, a->root, n) == 0 && real[n] == '/';
    bool ok = false;
    if (!joined) {
        ok = fault_set(f, 500, NULL, NULL, "no memory for an adapter");
    } else if (real && !below) {
        ok = fault_set(f, 403, "adapter_path_forbidden", "lora_path",
                       "lora_path leads out of the folder of adapters");
    } else if (!real || !lorac_path_is_dir(real)) {
        bool inside = path[0] != '/' && !strstr(path, "..");
        ok = inside ? fault_set(f, 404, "adapter_path_not_found", "lora_path",
                                "there is no folder '%s' among the adapters", path)
                    : fault_set(f, 403, "adapter_path_forbidden", "lora_path",
                                "lora_path leads out of the folder of adapters");
    } else {
        ok = adapters_load(a, name, real, replace, f);
        if (!ok) { hide_root(f, a->root); }
    }
    free(real);
    lorac_mem_free(joined);
    return ok;
}

bool adapters_unload(struct adapters *a, const char *name, struct fault *f)
{
    (void)pthread_mutex_lock(&a->lock);
    struct adapter_name **link = find(a, name);
    struct adapter_name *was = *link;
    if (was) {
        *link = was->next;
        was->is->names--;
    }
    (void)pthread_mutex_unlock(&a->lock);
    if (!was) {
        return fault_set(f, 404, "lora_adapter_not_found", "lora_name", "there is no adapter '%s'",
                         name);
    }
    lorac_mem_free(was->path);
    lorac_mem_free(was);
    return true;
}

struct resident *adapters_lease(struct adapters *a, const char *name)
{
    (void)pthread_mutex_lock(&a->lock);
    struct adapter_name *n = *find(a, name);
    struct resident *r = n ? n->is : NULL;
    if (r) { r->leases++; }
    (void)pthread_mutex_unlock(&a->lock);
    return r;
}

void adapters_release(struct adapters *a, struct resident *r)
{
    if (!r) { return; }
    (void)pthread_mutex_lock(&a->lock);
    r->leases--;
    (void)pthread_mutex_unlock(&a->lock);
}

void adapters_sweep(struct adapters *a, void (*drop)(void *self, struct resident *r), void *self)
{
    struct resident *gone = NULL;
    (void)pthread_mutex_lock(&a->lock);
    for (struct resident **link = &a->residents; *link;) {
        struct resident *r = *link;
        if (r->names || r->leases) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        r->next = gone;
        gone = r;
        a->n_residents--;
    }
    (void)pthread_mutex_unlock(&a->lock);
    while (gone) {
        struct resident *r = gone;
        gone = r->next;
        drop(self, r);
        resident_free(r);
    }
}
