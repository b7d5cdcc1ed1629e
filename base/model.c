/* model.c - opening a checkpoint folder: every tensor found, checked and accounted for. */
#include "base/model.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/fingerprint.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

/* Opening state: which tensors have been claimed. */
struct opening {
    struct lorac_model *m;
    unsigned char *used; // (tensors)
    size_t vector_at;    // floats handed out of m->vectors
};

static const char embed_name[] = "model.embed_tokens.weight";
static const char head_name[] = "lm_head.weight";

/* Where only the rows of embedding or output are other than the vocabulary: somebody added tokens. */
static void explain_vocabulary(const struct lorac_model *m, const struct lorac_tensor *t,
                               struct lorac_err *err)
{
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

/* The tensor called `name`, with exactly these dimensions. */
static enum lorac_status claim(const struct lorac_tensor **out, struct opening *o, const char *name,
                               const size_t *dims, size_t n_dims, struct lorac_err *err)
{
    struct lorac_model *m = o->m;
    const struct lorac_tensor *t = lorac_checkpoint_find(m->files, name);
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
    bool same = t->n_dims == n_dims && memcmp(t->dims, dims, n_dims * sizeof *dims) == 0;
    if (!same) {
        struct lorac_buf found = {0};
        for (size_t i = 0; i < t->n_dims; i++) {
            lorac_buf_printf(&found, "%s%zu", i ? ", " : "", t->dims[i]);
        }
        enum lorac_status st = lorac_fail(
            err, LORAC_EFORMAT, "%s: tensor '%s' has shape [%s], config.json asks for [%zu%s%.0zu]",
            m->dir, name, found.at ? found.at : "", dims[0], n_dims == 2 ? ", " : "",
            n_dims == 2 ? dims[1] : 0);
        explain_vocabulary(m, t, err);
        lorac_buf_free(&found);
        return st;
    }
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        if (lorac_checkpoint_at(m->files, i) == t) { o->used[i] = 1; }
    }
    *out = t;
    return LORAC_OK;
}

/* A matrix stays where the file has it. */
static enum lorac_status open_matrix(struct lorac_weight *w, const struct lorac_tensor *t,
                                     struct lorac_model *m, struct lorac_err *err)
{
    const void *data = m->dev->ops->hold(m->dev, t->data, t->n * lorac_dtype_size(t->dtype));
    if (!data) { return lorac_fail(err, LORAC_ENOMEM, "%s: no device memory", t->name); }
    *w = (struct lorac_weight){data, t->dtype, t->dims[0], t->dims[1]};
    return LORAC_OK;
}

/* A norm's gain or a bias becomes float32 in the block of vectors. */
static enum lorac_status open_vector(const float **out, struct opening *o, const char *name,
                                     size_t n, struct lorac_err *err)
{
    const struct lorac_tensor *t = NULL;
    enum lorac_status st = claim(&t, o, name, &n, 1, err);
    if (st || !t) { return st; }
    float *host = lorac_mem_new(n, sizeof *host);
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for '%s'", o->m->dir, name); }
    lorac_dtype_decode(host, t->data, t->dtype, n);
    float *to = o->m->vectors + o->vector_at;
    o->m->dev->ops->write(o->m->dev, to, host, n * sizeof *host);
    o->vector_at += n;
    lorac_mem_free(host);
    if (out) { *out = to; }
    return LORAC_OK;
}

static enum lorac_status open_linear(struct opening *o, size_t m, struct lorac_err *err)
{
    struct lorac_linear *l = &o->m->linear[m];
    struct lorac_linear_shape shape = lorac_config_linear(&o->m->config, m);
    char tensor[128];
    (void)snprintf(l->name, sizeof l->name, "%s", shape.name);
    (void)snprintf(tensor, sizeof tensor, "%s.weight", shape.name);
    const struct lorac_tensor *t = NULL;
    enum lorac_status st = claim(&t, o, tensor, (const size_t[]){shape.OC, shape.C}, 2, err);
    if (!st) { st = open_matrix(&l->w, t, o->m, err); }
    if (!st && shape.bias) {
        (void)snprintf(tensor, sizeof tensor, "%s.bias", shape.name);
        st = open_vector(&l->bias, o, tensor, shape.OC, err);
    }
    return st;
}

/* All gains of one kind, (L,C) in a row. */
static enum lorac_status open_norms(float **out, struct opening *o, const char *kind,
                                    struct lorac_err *err)
{
    char name[96];
    enum lorac_status st = LORAC_OK;
    *out = o->m->vectors + o->vector_at;
    for (size_t l = 0; l < o->m->config.L && !st; l++) {
        (void)snprintf(name, sizeof name, "model.layers.%zu.%s.weight", l, kind);
        st = open_vector(NULL, o, name, o->m->config.C, err);
    }
    return st;
}

/* Embedding and output. A tied matrix is stored under either name, or under both with one content. */
static enum lorac_status open_ends(struct opening *o, struct lorac_err *err)
{
    struct lorac_model *m = o->m;
    const size_t dims[] = {m->config.V, m->config.C};
    const struct lorac_tensor *e = NULL;
    const struct lorac_tensor *h = NULL;
    bool tied = m->config.tie;
    bool has_e = lorac_checkpoint_find(m->files, embed_name) != NULL;
    bool has_h = lorac_checkpoint_find(m->files, head_name) != NULL;
    enum lorac_status st = LORAC_OK;
    if (!tied || has_e || !has_h) { st = claim(&e, o, embed_name, dims, 2, err); }
    if (!st && (!tied || has_h)) { st = claim(&h, o, head_name, dims, 2, err); }
    if (st) { return st; }
    if (tied && e && h &&
        (e->dtype != h->dtype ||
         memcmp(e->data, h->data, e->n * lorac_dtype_size(e->dtype)) != 0)) {
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
    st = open_matrix(&m->embedding, e, m, err);
    struct lorac_linear *l = &m->linear[m->n_linear - 1];
    (void)snprintf(l->name, sizeof l->name, "lm_head");
    if (!st && tied) {
        l->w = m->embedding;
    } else if (!st) {
        st = open_matrix(&l->w, h, m, err);
    }
    return st;
}

/* Nothing in the file may be left over: a tensor that we don't use is a model that we don't run. */
static enum lorac_status refuse_leftovers(struct opening *o, struct lorac_err *err)
{
    static const char ignored[] = ".rotary_emb.inv_freq"; // a table that old checkpoints carry
    for (size_t i = 0; i < lorac_checkpoint_count(o->m->files); i++) {
        const char *name = lorac_checkpoint_at(o->m->files, i)->name;
        size_t n = strlen(name);
        bool harmless =
            n >= sizeof ignored && strcmp(name + n - (sizeof ignored - 1), ignored) == 0;
        if (!o->used[i] && !harmless) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: tensor '%s' has no place in a %s of this config.json", o->m->dir,
                              name, o->m->config.arch);
        }
    }
    return LORAC_OK;
}

/* Before memory is taken for them: the files must hold as many numbers as the norms and biases have. */
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

static enum lorac_status open_tensors(struct lorac_model *m, struct lorac_err *err)
{
    const struct lorac_config *c = &m->config;
    struct opening o = {.m = m};
    size_t per_layer = 2 * c->C + (c->qkv_bias ? (c->H + 2 * c->G) * c->D : 0) +
                       (c->o_bias ? c->C : 0) + (c->mlp_bias ? 2 * c->F + c->C : 0);
    size_t vectors = c->L * per_layer + c->C;
    enum lorac_status st = check_size(m, vectors, err);
    if (st) { return st; }
    m->n_linear = LORAC_PER_LAYER * c->L + 1;
    m->n_modules = m->n_linear + 2 * c->L + 2;
    m->linear = lorac_mem_new(m->n_linear, sizeof *m->linear);
    o.used = lorac_mem_new(lorac_checkpoint_count(m->files), 1);
    m->vectors = m->dev->ops->alloc(m->dev, vectors * sizeof(float));
    if (!m->linear || !o.used || !m->vectors) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for the model", m->dir);
    }
    if (!st) { st = open_ends(&o, err); }
    if (!st) { st = open_norms(&m->norm_attention, &o, "input_layernorm", err); }
    if (!st) { st = open_norms(&m->norm_mlp, &o, "post_attention_layernorm", err); }
    m->norm_final = st ? NULL : m->vectors + o.vector_at;
    if (!st) { st = open_vector(NULL, &o, "model.norm.weight", c->C, err); }
    for (size_t i = 0; i < LORAC_PER_LAYER * c->L && !st; i++) {
        st = open_linear(&o, i, err);
    }
    if (!st) { st = refuse_leftovers(&o, err); }
    lorac_mem_free(o.used);
    return st;
}

static enum lorac_status open_config(struct lorac_model *m, struct lorac_err *err)
{
    struct lorac_json root = {0};
    char *path = lorac_path_join(m->dir, "config.json");
    if (!path) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", m->dir); }
    enum lorac_status st = lorac_json_load(&root, path, CONFIG_LIMIT, err);
    if (!st) { st = lorac_config_read(&m->config, &root, err); }
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
                                   const char *dir, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_model *m = lorac_mem_new(1, sizeof *m);
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    m->dev = dev;
    m->dir = lorac_mem_string(dir, strlen(dir));
    enum lorac_status st = LORAC_OK;
    if (!m->dir) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    if (!st) { st = open_config(m, err); }
    if (!st) { st = lorac_checkpoint_open(&m->files, dir, err); }
    if (!st) { st = open_tensors(m, err); }
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
    for (size_t i = 0; m->linear && i < m->n_linear; i++) {
        const void *data = m->linear[i].w.data;
        if (data && data != m->embedding.data) { op->drop(m->dev, data); }
    }
    if (m->embedding.data) { op->drop(m->dev, m->embedding.data); }
    op->release(m->dev, m->vectors);
    lorac_mem_free(m->linear);
    lorac_checkpoint_close(m->files);
    lorac_mem_free(m->dir);
    lorac_mem_free(m);
}

/* ---- modules ---- */

size_t lorac_embed_module(const struct lorac_model *m)
{
    return m->n_linear;
}

size_t lorac_norm_module(const struct lorac_model *m, size_t layer, enum lorac_norm which)
{
    return m->n_linear + 1 + 2 * layer + (which == LORAC_NORM_MLP);
}

size_t lorac_norm_final_module(const struct lorac_model *m)
{
    return m->n_modules - 1;
}

void lorac_module_name(char name[LORAC_MODULE_NAME], const struct lorac_model *m, size_t module)
{
    enum { SIZE = LORAC_MODULE_NAME };
    if (module < m->n_linear) {
        (void)snprintf(name, SIZE, "%s", m->linear[module].name);
    } else if (module == lorac_embed_module(m)) {
        (void)snprintf(name, SIZE, "model.embed_tokens");
    } else if (module == lorac_norm_final_module(m)) {
        (void)snprintf(name, SIZE, "model.norm");
    } else {
        size_t i = module - m->n_linear - 1;
        (void)snprintf(name, SIZE, "model.layers.%zu.%s", i / 2,
                       i % 2 ? "post_attention_layernorm" : "input_layernorm");
    }
}

const struct lorac_weight *lorac_module_weight(const struct lorac_model *m, size_t module)
{
    if (module < m->n_linear) { return &m->linear[module].w; }
    return module == lorac_embed_module(m) ? &m->embedding : NULL;
}

const float *lorac_module_vector(const struct lorac_model *m, size_t module, size_t *n)
{
    *n = 0;
    if (module < m->n_linear) {
        if (m->linear[module].bias) { *n = m->linear[module].w.OC; }
        return m->linear[module].bias;
    }
    if (module == lorac_embed_module(m)) { return NULL; }
    *n = m->config.C;
    if (module == lorac_norm_final_module(m)) { return m->norm_final; }
    size_t i = module - m->n_linear - 1;
    return (i % 2 ? m->norm_mlp : m->norm_attention) + i / 2 * m->config.C;
}

size_t lorac_model_parameters(const struct lorac_model *m)
{
    const struct lorac_config *c = &m->config;
    size_t n = m->embedding.OC * m->embedding.C + (2 * c->L + 1) * c->C;
    for (size_t i = 0; i < m->n_linear; i++) {
        const struct lorac_linear *l = &m->linear[i];
        if (l->w.data != m->embedding.data) { n += l->w.OC * l->w.C; }
        if (l->bias) { n += l->w.OC; }
    }
    return n;
}
