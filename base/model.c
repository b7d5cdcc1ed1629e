/* model.c - opening a checkpoint folder: every tensor found, checked and accounted for. */
#include "base/model.h"

#include "base/arch/arch.h"
#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/fingerprint.h"
#include "base/fresh.h"
#include "base/names.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

/* Opening state: which tensors have been claimed. */
struct opening {
    struct lorac_model *m;
    uint64_t seed;       // of what the files lack
    unsigned char *used; // (tensors)
    size_t vector_at;    // floats handed out of m->vectors
};

enum { TENSOR_NAME = LORAC_MODULE_NAME + 16 };

/* "<module>.weight", as the files have it. */
static void weight_name(char name[TENSOR_NAME], const struct lorac_model *m, size_t module)
{
    (void)snprintf(name, TENSOR_NAME, "%s.weight", m->module[module].file);
}

/* Where only the rows of embedding or output are other than the vocabulary: somebody added tokens.
 */
static void explain_vocabulary(const struct lorac_model *m, const struct lorac_tensor *t,
                               struct lorac_err *err)
{
    char embed_name[TENSOR_NAME];
    char head_name[TENSOR_NAME];
    if (m->config.task != LORAC_TASK_LM) { return; }
    weight_name(embed_name, m, m->embed);
    weight_name(head_name, m, m->head);
    bool embed = strcmp(t->name, embed_name) == 0;
    bool head = strcmp(t->name, head_name) == 0;
    if ((!embed && !head) || t->n_dims != 2 || t->dims[1] != m->config.C) { return; }
    const struct lorac_tensor *other =
        lorac_checkpoint_find(m->files, embed ? head_name : embed_name);
    if (!other || (other->n_dims == 2 && other->dims[0] == t->dims[0])) {
        lorac_err_add(err,
                      " (tokens were added or cut: \"vocab_size\": %zu in config.json is what the "
                      "tensors hold)",
                      t->dims[0]);
    } else {
        lorac_err_add(err, " (embedding and output hold different numbers of tokens: "
                           "resize_token_embeddings() of transformers resizes both)");
    }
}

static void mark_used(struct opening *o, const struct lorac_tensor *t)
{
    for (size_t i = 0; i < lorac_checkpoint_count(o->m->files); i++) {
        if (lorac_checkpoint_at(o->m->files, i) == t) { o->used[i] = 1; }
    }
}

/* *t: what the file calls `name`, or what it calls it otherwise; where it has both, one content. */
static enum lorac_status find_tensor(const struct lorac_tensor **t, struct opening *o,
                                     const char *name, struct lorac_err *err)
{
    const struct lorac_model *m = o->m;
    char other[LORAC_NAME_SIZE];
    *t = lorac_checkpoint_find(m->files, name);
    const struct lorac_tensor *second =
        lorac_tensor_other_name(other, m, name) ? lorac_checkpoint_find(m->files, other) : NULL;
    if (*t && second) {
        bool same =
            (*t)->dtype == second->dtype && (*t)->n == second->n &&
            memcmp((*t)->data, second->data, lorac_dtype_bytes(second->dtype, second->n)) == 0;
        mark_used(o, second);
        return same ? LORAC_OK
                    : lorac_fail(err, LORAC_EFORMAT,
                                 "%s: '%s' and '%s' are two names of one tensor, but they differ",
                                 m->dir, name, other);
    }
    if (second) { *t = second; }
    return LORAC_OK;
}

/* The tensor called `name`, with exactly these dimensions. */
static enum lorac_status claim(const struct lorac_tensor **out, struct opening *o, const char *name,
                               const size_t *dims, size_t n_dims, struct lorac_err *err)
{
    struct lorac_model *m = o->m;
    const struct lorac_tensor *t = NULL;
    enum lorac_status st = find_tensor(&t, o, name, err);
    if (st) { return st; }
    if (!t) {
        const char *dot = strrchr(name, '.');
        char wrapped[LORAC_NAME_SIZE];
        (void)snprintf(wrapped, sizeof wrapped, "%.*s.base_layer%s", (int)(dot - name), name, dot);
        bool unmerged = lorac_checkpoint_find(m->files, wrapped) != NULL;
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s' is missing, config.json asks for it%s", m->dir, name,
                          unmerged ? " (the file has it as base_layer: a model with a PEFT adapter "
                                     "in it; merge_and_unload() makes it one)"
                                   : "");
    }
    if (!lorac_dtype_is_float(t->dtype)) {
        return lorac_fail(err, LORAC_ENOTSUP, "%s: tensor '%s' is %s, expected floats", m->dir,
                          name, lorac_dtype_name(t->dtype));
    }
    bool same = t->n_dims == n_dims && memcmp(t->dims, dims, n_dims * sizeof *dims) == 0;
    if (!same) {
        struct lorac_buf found = {0};
        for (size_t i = 0; i < t->n_dims; i++) {
            lorac_buf_printf(&found, "%s%zu", i ? ", " : "", t->dims[i]);
        }
        st = lorac_fail(err, LORAC_EFORMAT,
                        "%s: tensor '%s' has shape [%s], config.json asks for [%zu%s%.0zu]", m->dir,
                        name, found.at ? found.at : "", dims[0], n_dims == 2 ? ", " : "",
                        n_dims == 2 ? dims[1] : 0);
        explain_vocabulary(m, t, err);
        lorac_buf_free(&found);
        return st;
    }
    mark_used(o, t);
    *out = t;
    return LORAC_OK;
}

/* A matrix stays where the file has it, if the backend can read it there. */
static enum lorac_status open_matrix(struct lorac_module *l, const struct lorac_tensor *t,
                                     const struct lorac_model *m, struct lorac_err *err)
{
    l->dtype = t->dtype;
    l->w = m->dev->ops->weight_open(m->dev, t->data, t->dtype, l->OC, l->C, l->transposed,
                                    lorac_module_compute(m, l));
    return l->w ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no device memory", t->name);
}

/* A weight that the files lack. */
static enum lorac_status open_drawn(struct opening *o, struct lorac_module *l,
                                    struct lorac_err *err)
{
    struct lorac_tensor t = {.dtype = LORAC_F32};
    (void)snprintf(t.name, sizeof t.name, "%s", l->name);
    enum lorac_status st = lorac_module_draw(l, &o->m->config, o->seed, err);
    t.data = l->drawn;
    return st || l->role == LORAC_ROLE_NORM ? st : open_matrix(l, &t, o->m, err);
}

/* A head that is made for a task is the files' only where they are of that task. */
static bool is_lacking(const struct lorac_model *m, const struct lorac_module *l)
{
    char name[TENSOR_NAME];
    (void)snprintf(name, sizeof name, "%s.weight", l->file);
    return l->is_head ? m->config.own != m->config.task
                      : l->may_lack && !lorac_checkpoint_find(m->files, name);
}

/* A norm's gain or a bias becomes float32 in the block of vectors; `fresh`: all are that. */
static enum lorac_status open_vector(const float **out, struct opening *o, const char *name,
                                     size_t n, const float *fresh, struct lorac_err *err)
{
    const struct lorac_tensor *t = NULL;
    enum lorac_status st = fresh ? LORAC_OK : claim(&t, o, name, &n, 1, err);
    if (st) { return st; }
    float *host = lorac_mem_new(n, sizeof *host);
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for '%s'", o->m->dir, name); }
    for (size_t i = 0; i < n && fresh; i++) {
        host[i] = *fresh;
    }
    if (t) { lorac_dtype_decode(host, t->data, t->dtype, n); }
    float *to = o->m->vectors + o->vector_at;
    o->m->dev->ops->write(o->m->dev, to, host, n * sizeof *host);
    o->vector_at += n;
    lorac_mem_free(host);
    if (out) { *out = to; }
    return LORAC_OK;
}

/* A matrix that isn't tied, and the vectors of linear layers and norms. */
static enum lorac_status open_module(struct opening *o, struct lorac_module *l,
                                     struct lorac_err *err)
{
    char tensor[TENSOR_NAME];
    const struct lorac_tensor *t = NULL;
    enum lorac_status st = LORAC_OK;
    bool end = l->role == LORAC_ROLE_EMBEDDING ||
               (l->role == LORAC_ROLE_HEAD && o->m->config.task == LORAC_TASK_LM); // open_ends()
    if (is_lacking(o->m, l)) {
        st = open_drawn(o, l, err);
    } else if (!end && l->role != LORAC_ROLE_NORM) {
        const size_t dims[] = {l->OC, l->C};
        const size_t turned[] = {l->C, l->OC};
        (void)snprintf(tensor, sizeof tensor, "%s.weight", l->file);
        st = claim(&t, o, tensor, l->transposed ? turned : dims, 2, err);
        if (!st) { st = open_matrix(l, t, o->m, err); }
    }
    for (size_t k = 0; k < lorac_vector_parts(&o->m->config, l) && !st; k++) {
        const float *part = NULL;
        float fresh = l->role == LORAC_ROLE_NORM && k == 0 ? 1.0F : 0.0F;
        (void)snprintf(tensor, sizeof tensor, "%s.%s", l->file, lorac_vector_name(l, k));
        st = open_vector(&part, o, tensor, l->n / lorac_vector_parts(&o->m->config, l),
                         l->fresh ? &fresh : NULL, err);
        if (k == 0) { l->vector = part; }
    }
    return st;
}

const struct lorac_tensor *lorac_model_embedding(const struct lorac_model *m)
{
    const struct lorac_steps *steps = &m->config.kind->heads[LORAC_TASK_LM].steps;
    struct lorac_module output = {.n = 0};
    char name[TENSOR_NAME];
    char file[LORAC_MODULE_NAME];
    weight_name(name, m, m->embed);
    const struct lorac_tensor *t = lorac_checkpoint_find(m->files, name);
    if (t || !m->config.tie || steps->n == 0) { return t; }
    const char *last = steps->at[steps->n - 1].module; // what logits come from
    (void)snprintf(output.name, sizeof output.name, "%s", last ? last : "");
    (void)snprintf(name, sizeof name, "%s.weight", output.name);
    t = lorac_checkpoint_find(m->files, name);
    lorac_module_other_name(file, m, &output);
    (void)snprintf(name, sizeof name, "%s.weight", file);
    return t ? t : lorac_checkpoint_find(m->files, name);
}

/* The embedding, where the head is not the vocabulary's. */
static enum lorac_status open_embedding(struct opening *o, struct lorac_err *err)
{
    struct lorac_model *m = o->m;
    const size_t dims[] = {m->config.V, m->config.C};
    const struct lorac_tensor *e = lorac_model_embedding(m);
    char name[TENSOR_NAME];
    weight_name(name, m, m->embed);
    enum lorac_status st = claim(&e, o, e ? e->name : name, dims, 2, err);
    return st ? st : open_matrix(&m->module[m->embed], e, m, err);
}

/* Embedding and output. A tied matrix is stored under either name, or under both with one content.
 */
static enum lorac_status open_ends(struct opening *o, struct lorac_err *err)
{
    struct lorac_model *m = o->m;
    if (m->config.task != LORAC_TASK_LM) { return open_embedding(o, err); }
    struct lorac_module *embedding = &m->module[m->embed];
    struct lorac_module *output = &m->module[m->head];
    const size_t dims[] = {m->config.V, m->config.C};
    const struct lorac_tensor *e = NULL;
    const struct lorac_tensor *h = NULL;
    char embed_name[TENSOR_NAME];
    char head_name[TENSOR_NAME];
    weight_name(embed_name, m, m->embed);
    weight_name(head_name, m, m->head);
    bool tied = m->config.tie;
    bool has_e = lorac_checkpoint_find(m->files, embed_name) != NULL;
    bool has_h = lorac_checkpoint_find(m->files, head_name) != NULL;
    enum lorac_status st = LORAC_OK;
    if (!tied || has_e || !has_h) { st = claim(&e, o, embed_name, dims, 2, err); }
    if (!st && (!tied || has_h)) { st = claim(&h, o, head_name, dims, 2, err); }
    if (st) { return st; }
    if (tied && e && h &&
        (e->dtype != h->dtype ||
         memcmp(e->data, h->data, lorac_dtype_bytes(e->dtype, e->n)) != 0)) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: config.json ties embedding and output (tie_word_embeddings), but '%s' "
            "and '%s' differ (false there keeps both)",
            m->dir, embed_name, head_name);
    }
    if (tied) { // one matrix
        e = e ? e : h;
        h = e;
    }
    assert(e && h); // both were claimed
    st = open_matrix(embedding, e, m, err);
    if (!st && tied) {
        output->w = embedding->w;
        output->dtype = embedding->dtype;
    } else if (!st) {
        st = open_matrix(output, h, m, err);
    }
    return st;
}

/* A table that old checkpoints carry, or a part of the model that is not run. */
static bool is_ignored(const struct lorac_model *m, const char *name)
{
    static const char table[] = ".rotary_emb.inv_freq";
    const char *const *other = m->config.kind->ignored;
    size_t n = strlen(name);
    bool yes = n >= sizeof table && strcmp(name + n - (sizeof table - 1), table) == 0;
    for (; other && *other && !yes; other++) {
        size_t k = strlen(*other);
        yes = **other == '.' && n > k && strcmp(name + n - k, *other) == 0;
    }
    return yes || lorac_model_leaves_out(m, name);
}

/* Of the head that the files have, where another stands behind the layers. */
static bool is_other_head(const struct lorac_model *m, const char *name)
{
    const struct lorac_steps *head = &m->config.kind->heads[m->config.own].steps;
    char tensor[LORAC_NAME_SIZE];
    bool yes = false;
    lorac_tensor_own_name(tensor, m, name);
    for (size_t i = 0; i < head->n && m->config.own != m->config.task && !yes; i++) {
        struct lorac_module l = {0};
        char file[LORAC_MODULE_NAME];
        (void)snprintf(l.name, sizeof l.name, "%s", head->at[i].module ? head->at[i].module : "");
        lorac_module_other_name(file, m, &l);
        const char *const names[] = {l.name, file};
        for (size_t k = 0; k < 2 && !yes; k++) {
            size_t n = strlen(names[k]);
            yes = n > 0 && strncmp(tensor, names[k], n) == 0 && tensor[n] == '.';
        }
    }
    return yes;
}

/* Nothing in the file may be left over: a tensor that we don't use is a model that we don't run. */
static enum lorac_status refuse_leftovers(struct opening *o, struct lorac_err *err)
{
    for (size_t i = 0; i < lorac_checkpoint_count(o->m->files); i++) {
        const char *name = lorac_checkpoint_at(o->m->files, i)->name;
        if (!o->used[i] && !is_ignored(o->m, name) && !is_other_head(o->m, name)) {
            char class[LORAC_CLASS_NAME];
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: tensor '%s' has no place in a %s of this config.json", o->m->dir,
                              name, lorac_config_class(class, &o->m->config));
        }
    }
    return LORAC_OK;
}

/* Before memory is taken for them: the files must hold as many numbers as the norms and biases
 * have. */
static enum lorac_status check_size(const struct lorac_model *m, size_t vectors,
                                    struct lorac_err *err)
{
    size_t held = 0; // cannot overflow: each number takes a byte or more of a mapped file
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        held += lorac_checkpoint_at(m->files, i)->n;
    }
    if (vectors <= held) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_EFORMAT,
        "%s: the files hold %zu numbers, config.json asks for %zu in norms and biases "
        "alone",
        m->dir, held, vectors);
}

/* Files that lack a module's own name and have the other one are written that way throughout. */
static void find_names(struct lorac_model *m)
{
    bool other = false;
    for (size_t i = 0; i < m->n_modules && !other; i++) {
        char own[TENSOR_NAME];
        char file[LORAC_MODULE_NAME];
        char renamed[TENSOR_NAME];
        weight_name(own, m, i);
        lorac_module_other_name(file, m, &m->module[i]);
        (void)snprintf(renamed, sizeof renamed, "%s.weight", file);
        other = !lorac_checkpoint_find(m->files, own) && lorac_checkpoint_find(m->files, renamed);
    }
    for (size_t i = 0; i < m->n_modules && other; i++) {
        lorac_module_other_name(m->module[i].file, m, &m->module[i]);
    }
}

static enum lorac_status list_modules(struct lorac_model *m, struct lorac_err *err)
{
    enum lorac_status st = lorac_modules_list(&m->module, &m->n_modules, &m->step, &m->config, err);
    m->head = m->n_modules;
    for (size_t i = 0; i < m->n_modules; i++) {
        if (m->module[i].role == LORAC_ROLE_EMBEDDING) { m->embed = i; }
        if (m->module[i].role == LORAC_ROLE_HEAD) { m->head = i; }
    }
    if (!st) { find_names(m); }
    return st;
}

static enum lorac_status open_tensors(struct lorac_model *m, uint64_t seed, struct lorac_err *err)
{
    struct opening o = {.m = m, .seed = seed};
    size_t vectors = 0;
    size_t stored = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        vectors += m->module[i].n;
        stored += is_lacking(m, &m->module[i]) ? 0 : m->module[i].n;
    }
    enum lorac_status st = check_size(m, stored, err);
    if (st) { return st; }
    o.used = lorac_mem_new(lorac_checkpoint_count(m->files), 1);
    m->vectors = m->dev->ops->alloc(m->dev, vectors * sizeof(float));
    if (!o.used || !m->vectors) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for the model", m->dir);
    }
    if (!st) { st = open_ends(&o, err); }
    for (size_t i = 0; i < m->n_modules && !st; i++) {
        st = open_module(&o, &m->module[i], err);
    }
    if (!st) { st = refuse_leftovers(&o, err); }
    lorac_mem_free(o.used);
    return st;
}

static enum lorac_status open_config(struct lorac_model *m,
                                     const struct lorac_model_options *options,
                                     struct lorac_err *err)
{
    struct lorac_json root = {0};
    char *path = lorac_path_join(m->dir, "config.json");
    if (!path) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", m->dir); }
    enum lorac_status st = lorac_json_load(&root, path, CONFIG_LIMIT, err);
    if (!st) { st = lorac_config_read(&m->config, &root, err); }
    if (!st) { st = lorac_config_task(&m->config, options->task, options->labels, m->dir, err); }
    lorac_json_free(&root);
    lorac_mem_free(path);
    return st;
}

static enum lorac_status take_fingerprint(struct lorac_model *m, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    lorac_config_text(&text, &m->config);
    enum lorac_status st = LORAC_OK;
    if (text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", m->dir); }
    if (!st) { st = lorac_checkpoint_fingerprint(m->fingerprint, m->files, text.at, text.n, err); }
    lorac_buf_free(&text);
    return st;
}

enum lorac_status lorac_model_open(struct lorac_model **out, struct lorac_device *dev,
                                   const char *dir, enum lorac_compute compute,
                                   struct lorac_err *err)
{
    const struct lorac_model_options options = {.compute = compute};
    return lorac_model_open_for(out, dev, dir, &options, err);
}

enum lorac_status lorac_model_open_for(struct lorac_model **out, struct lorac_device *dev,
                                       const char *dir, const struct lorac_model_options *options,
                                       struct lorac_err *err)
{
    *out = NULL;
    struct lorac_model *m = lorac_mem_new(1, sizeof *m);
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    m->dev = dev;
    m->compute = options->compute;
    m->dir = lorac_mem_string(dir, strlen(dir));
    enum lorac_status st = LORAC_OK;
    if (!m->dir) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    if (!st) { st = lorac_compute_check(dev, m->compute, err); }
    if (!st) { st = open_config(m, options, err); }
    if (!st) { st = lorac_checkpoint_open(&m->files, dir, err); }
    if (!st) { st = list_modules(m, err); }
    if (!st) { st = open_tensors(m, options->seed, err); }
    if (!st) { st = take_fingerprint(m, err); }
    if (st) {
        lorac_model_close(m);
        return st;
    }
    *out = m;
    return LORAC_OK;
}

void lorac_model_close(struct lorac_model *m)
{
    if (!m) { return; }
    const struct lorac_backend *op = m->dev->ops;
    for (size_t i = 0; i < m->n_modules; i++) {
        if (i != m->head || !lorac_model_is_tied(m)) { op->weight_close(m->dev, m->module[i].w); }
        lorac_mem_free(m->module[i].drawn);
    }
    op->release(m->dev, m->vectors);
    lorac_mem_free(m->module);
    lorac_mem_free(m->step);
    lorac_checkpoint_close(m->files);
    lorac_mem_free(m->dir);
    lorac_mem_free(m);
}

size_t lorac_model_parameters(const struct lorac_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        n += l->n;
        if (i != m->head || !lorac_model_is_tied(m)) { n += l->OC * l->C; }
    }
    return n;
}

enum lorac_status lorac_model_check_continues(const struct lorac_model *m, struct lorac_err *err)
{
    if (!m->config.bidirectional) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: a %s is an encoder, whose tokens see their whole text: it continues "
        "none; it is for objectives with a head (classify, multilabel, regress, tag), "
        "masked_lm, and lorac embed, score and next",
        m->dir, m->config.kind->type);
}

enum lorac_text_row lorac_model_text_row(const struct lorac_model *m)
{
    return m->config.head->row;
}

const char *lorac_model_untrained(const struct lorac_model *m, const struct lorac_socket *socket)
{
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        bool weight = l->role != LORAC_ROLE_NORM;
        bool stands = socket && (weight ? socket->weight && socket->weight(socket->self, i)
                                        : socket->vector && socket->vector(socket->self, i, 0));
        if (l->fresh && !stands) { return l->name; }
    }
    return NULL;
}
