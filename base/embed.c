/* embed.c - see embed.h. */
#include "base/embed.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/tokenizer/impl.h"

#include <math.h>
#include <string.h>

enum { ROWS = 1024, JSON_LIMIT = 1 << 20 };

static const char *const poolings[] = {"mean", "cls", "last"};
enum { N_POOLINGS = sizeof poolings / sizeof *poolings };

const char *lorac_pooling_name(size_t pooling)
{
    return pooling < N_POOLINGS ? poolings[pooling] : NULL;
}

/* ---- what the folder says ---- */

/* *out a file of the folder, its value NULL where it is missing. */
static enum lorac_status load(struct lorac_json *out, char path[LORAC_PATH], const char *dir,
                              const char *file, struct lorac_err *err)
{
    *out = (struct lorac_json){0};
    (void)lorac_path_in(path, dir, file);
    return lorac_path_exists(path) ? lorac_json_load(out, path, JSON_LIMIT, err) : LORAC_OK;
}

/* "pooling_mode_mean_tokens": true of older versions, "pooling_mode": "mean" of newer ones.
 * *prompts: the tokens of prompts count. */
static enum lorac_status read_pooling(struct lorac_embedding *out, bool *prompts, const char *dir,
                                      const char *part, struct lorac_err *err)
{
    static const char *const keys[] = {[LORAC_POOL_MEAN] = "pooling_mode_mean_tokens",
                                       [LORAC_POOL_CLS] = "pooling_mode_cls_token",
                                       [LORAC_POOL_LAST] = "pooling_mode_lasttoken"};
    static const char *const others[] = {"pooling_mode_max_tokens",
                                         "pooling_mode_mean_sqrt_len_tokens",
                                         "pooling_mode_weightedmean_tokens"};
    static const char *const words[] = {"mean", "cls", "lasttoken"};
    struct lorac_json root;
    char path[LORAC_PATH];
    const char *word = NULL;
    size_t modes = 0;
    char file[LORAC_NAME_SIZE];
    (void)lorac_snprintf(file, sizeof file, "%.200s%sconfig.json", part, *part ? "/" : "");
    enum lorac_status st = load(&root, path, dir, file, err);
    if (!st && !root.value) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: is missing, but modules.json names its folder",
                        path);
    }
    if (!st) { st = lorac_json_string(&word, &root, "pooling_mode", false, err); }
    for (size_t i = 0; i < N_POOLINGS && !st; i++) {
        bool is = word && strcmp(word, words[i]) == 0;
        if (!word) { st = lorac_json_bool(&is, &root, keys[i], false, err); }
        if (is) { out->pooling = (enum lorac_pooling)i; }
        modes += is;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others && !st && !word; i++) {
        bool is = false;
        st = lorac_json_bool(&is, &root, others[i], false, err);
        modes += 2 * (size_t)is;
    }
    if (!st && modes != 1) {
        st = lorac_fail(err, LORAC_ENOTSUP,
                        "%s: pools in another way than by one of mean, cls and last token", path);
    }
    if (!st) { st = lorac_json_bool(prompts, &root, "include_prompt", false, err); }
    out->stated = !st;
    lorac_json_free(&root);
    return st;
}

/* The parts of the model: transformer, pooling, normalisation. */
static enum lorac_status read_modules(struct lorac_embedding *out, bool *prompts, const char *dir,
                                      struct lorac_err *err)
{
    struct lorac_json root;
    char path[LORAC_PATH];
    enum lorac_status st = load(&root, path, dir, "modules.json", err);
    if (!st && root.value && !json_is_array(root.value)) {
        st = lorac_json_fail(&root, "a list of modules", err);
    }
    for (size_t i = 0; !st && i < json_array_size(root.value); i++) {
        struct lorac_json at = lorac_json_at(&root, i);
        const char *type = NULL;
        const char *part = "";
        st = lorac_json_string(&type, &at, "type", true, err);
        if (!st) { st = lorac_json_string(&part, &at, "path", false, err); }
        const char *dot = st ? NULL : strrchr(type, '.');
        const char *name = dot ? dot + 1 : type;
        if (st || strcmp(name, "Transformer") == 0 || strcmp(name, "Normalize") == 0) { continue; }
        if (strcmp(name, "Pooling") == 0) {
            st = read_pooling(out, prompts, dir, part, err);
        } else {
            st = lorac_fail(err, LORAC_ENOTSUP,
                            "%s: a module of type %.80s stands behind the model, which lorac does "
                            "not have",
                            path, name);
        }
    }
    lorac_json_free(&root);
    return st;
}

/* sentence_bert_config.json; of old folders, sentence_roberta_config.json and so on. */
static enum lorac_status read_texts(struct lorac_embedding *out, const struct lorac_model *m,
                                    struct lorac_err *err)
{
    struct lorac_json root;
    char path[LORAC_PATH];
    char file[LORAC_NAME_SIZE];
    size_t most = 0;
    (void)lorac_snprintf(file, sizeof file, "sentence_%.40s_config.json",
                         lorac_arch_type(m->config.arch));
    enum lorac_status st = load(&root, path, m->dir, "sentence_bert_config.json", err);
    if (!st && !root.value) { st = load(&root, path, m->dir, file, err); }
    if (!st && root.value) {
        st = lorac_json_size(&most, &root, "max_seq_length", false, 1, 1 << 24, err);
        if (!st) { st = lorac_json_bool(&out->lower, &root, "do_lower_case", false, err); }
    }
    if (!st && most && most < out->max_tokens) { out->max_tokens = most; }
    lorac_json_free(&root);
    return st;
}

/* The prompt that every text gets. */
static enum lorac_status read_prompt(struct lorac_embedding *out, bool counts, const char *dir,
                                     struct lorac_err *err)
{
    struct lorac_json root;
    char path[LORAC_PATH];
    const char *name = NULL;
    const char *prompt = NULL;
    enum lorac_status st = load(&root, path, dir, "config_sentence_transformers.json", err);
    if (!st && root.value) {
        st = lorac_json_string(&name, &root, "default_prompt_name", false, err);
    }
    if (!st && name) {
        struct lorac_json prompts = lorac_json_get(&root, "prompts");
        st = lorac_json_string(&prompt, &prompts, name, true, err);
    }
    if (!st && prompt && prompt[0] && !counts) {
        st = lorac_fail(err, LORAC_ENOTSUP,
                        "%s: prompt '%.40s' stands in front of each text, but its tokens are not "
                        "pooled: include_prompt false is not supported",
                        path, name);
    }
    if (!st && prompt && prompt[0]) {
        out->prompt = lorac_mem_string(prompt, strlen(prompt));
        if (!out->prompt) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    }
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_embedding_read(struct lorac_embedding *out, const struct lorac_model *m,
                                       struct lorac_err *err)
{
    *out = (struct lorac_embedding){
        .pooling = LORAC_POOL_MEAN, .normalize = true, .max_tokens = m->config.max_positions};
    bool prompts = true;
    enum lorac_status st = read_modules(out, &prompts, m->dir, err);
    if (!st) { st = read_texts(out, m, err); }
    if (!st) { st = read_prompt(out, prompts, m->dir, err); }
    if (st) { lorac_embedding_release(out); }
    return st;
}

void lorac_embedding_release(struct lorac_embedding *how)
{
    lorac_mem_free(how->prompt);
    *how = (struct lorac_embedding){0};
}

/* ---- texts ---- */

struct lorac_embedder {
    const struct lorac_model *m;
    struct lorac_embedding how; // borrows its prompt
    size_t begins, ends;        // tokens that stand in front of a text, and behind it
    struct lorac_encoder *encoder;
    struct lorac_ids ids; // of the text that was added last
    const struct lorac_socket *socket;
    struct lorac_batch *batch;
    struct lorac_pass *pass; // of `room` rows: more where a text is longer
    float *rows;             // (room,C) host
    size_t room;
};

/* How many tokens the tokenizer puts around a text. */
static enum lorac_status find_frame(struct lorac_embedder *e, const struct lorac_tokenizer *t,
                                    struct lorac_err *err)
{
    e->begins = lorac_tokenizer_before(t)->n;
    e->ends = lorac_tokenizer_after(t)->n;
    if (e->how.max_tokens > e->begins + e->ends) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "at most %zu tokens a text, of which %zu are the tokenizer's own: no room "
                      "for the text",
                      e->how.max_tokens, e->begins + e->ends);
}

/* Where texts are to be lower-cased the tokenizer does so itself, or it is another's vectors. */
static enum lorac_status check_case(struct lorac_embedder *e, struct lorac_err *err)
{
    static const struct lorac_text cases[] = {{"Aa", 2, false}, {"aa", 2, false}};
    enum lorac_status st = LORAC_OK;
    e->ids.n = 0;
    for (size_t i = 0; i < 2 && !st; i++) {
        st = lorac_encoder_encode(&e->ids, e->encoder, &cases[i], 1, LORAC_ENCODE_ALONE, err);
    }
    size_t half = e->ids.n / 2;
    bool same =
        e->ids.n % 2 == 0 && lorac_ids_common(e->ids.at, half, e->ids.at + half, half) == half;
    if (st || same) { return st; }
    return lorac_fail(err, LORAC_ENOTSUP,
                      "%s: sentence-transformers lower-cases texts (do_lower_case), which its "
                      "tokenizer does not do: that is not supported",
                      e->m->dir);
}

/* For batches of so many rows. */
static enum lorac_status make_room(struct lorac_embedder *e, size_t rows, struct lorac_err *err)
{
    struct lorac_pass_options o = {.max_rows = rows, .max_positions = rows};
    size_t floats = 0;
    if (rows <= e->room) { return LORAC_OK; }
    lorac_pass_free(e->pass);
    lorac_mem_free(e->rows);
    e->pass = NULL;
    e->room = 0;
    e->rows =
        lorac_mul(rows, e->m->config.C, &floats) ? lorac_mem_new(floats, sizeof *e->rows) : NULL;
    if (!e->rows) { return lorac_fail(err, LORAC_ENOMEM, "no memory to embed"); }
    enum lorac_status st = lorac_pass_new(&e->pass, e->m, e->socket, &o, err);
    if (!st) { e->room = rows; }
    return st;
}

enum lorac_status lorac_embedder_new(struct lorac_embedder **out, const struct lorac_model *m,
                                     const struct lorac_tokenizer *t,
                                     const struct lorac_socket *socket,
                                     const struct lorac_embedding *how, struct lorac_err *err)
{
    size_t rows = how->max_tokens > ROWS ? how->max_tokens : ROWS;
    *out = NULL;
    struct lorac_embedder *e = lorac_mem_new(1, sizeof *e);
    if (!e) { return lorac_fail(err, LORAC_ENOMEM, "no memory to embed"); }
    e->m = m;
    e->how = *how;
    e->socket = socket;
    enum lorac_status st = find_frame(e, t, err);
    if (!st) { st = lorac_encoder_for(&e->encoder, t, err); }
    if (!st && how->lower) { st = check_case(e, err); }
    if (!st) { st = lorac_batch_new(&e->batch, rows, ROWS, 1, err); }
    if (!st) { st = make_room(e, ROWS, err); }
    if (st) {
        lorac_embedder_free(e);
        return st;
    }
    lorac_batch_clear(e->batch);
    *out = e;
    return LORAC_OK;
}

void lorac_embedder_free(struct lorac_embedder *e)
{
    if (!e) { return; }
    lorac_pass_free(e->pass);
    lorac_batch_free(e->batch);
    lorac_encoder_free(e->encoder);
    lorac_ids_free(&e->ids);
    lorac_mem_free(e->rows);
    lorac_mem_free(e);
}

static void strip(struct lorac_text *text, bool left, bool right)
{
    size_t begin = 0;
    size_t end = text->n;
    if (lorac_utf8_check(text->at, text->n) < text->n) { return; } // encoding it says where
    lorac_strip(&begin, &end, text->at, left, right);
    text->at += begin;
    text->n = end - begin;
}

/* e->ids: the text's, of which the end is lost where there are too many. */
static enum lorac_status encode(size_t *cut, struct lorac_embedder *e, const char *text, size_t n,
                                struct lorac_err *err)
{
    const char *prompt = e->how.prompt ? e->how.prompt : "";
    struct lorac_text both[] = {{prompt, strlen(prompt), false}, {text, n, false}};
    e->ids.n = 0;
    *cut = 0;
    if (e->how.stated) { // the two as one text
        strip(&both[0], true, false);
        strip(&both[1], both[0].n == 0, true);
        strip(&both[0], false, both[1].n == 0);
    }
    enum lorac_status st = lorac_encoder_encode(&e->ids, e->encoder, both, 2,
                                                LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS, err);
    if (st) { return st; }
    if (e->ids.n == 0) { return lorac_fail(err, LORAC_EUSER, "the text has no token"); }
    if (e->ids.n > e->how.max_tokens) {
        size_t from = e->how.max_tokens - e->ends;
        *cut = e->ids.n - e->how.max_tokens;
        memmove(e->ids.at + from, e->ids.at + from + *cut, e->ends * sizeof *e->ids.at);
        e->ids.n = e->how.max_tokens;
    }
    return LORAC_OK;
}

bool lorac_embedder_add_ids(struct lorac_embedder *e, const int32_t *ids, size_t n)
{
    struct lorac_batch *b = e->batch;
    size_t row = b->N;
    if (n > b->max_rows || (b->S && row + n > ROWS)) { return false; }
    (void)lorac_batch_add(b, ids, n, -1);
    size_t from = e->how.pooling == LORAC_POOL_LAST ? b->N - 1 : row;
    size_t end = e->how.pooling == LORAC_POOL_CLS ? row + 1 : b->N;
    for (size_t i = from; i < end; i++) {
        lorac_batch_want_logits(b, i);
    }
    return true;
}

enum lorac_status lorac_embedder_add(bool *added, size_t *cut, struct lorac_embedder *e,
                                     const char *text, size_t n, struct lorac_err *err)
{
    *added = false;
    enum lorac_status st = encode(cut, e, text, n, err);
    if (!st) { *added = lorac_embedder_add_ids(e, e->ids.at, e->ids.n); }
    return st;
}

size_t lorac_embedder_texts(const struct lorac_embedder *e)
{
    return e->batch->S;
}

size_t lorac_embedder_most(const struct lorac_embedder *e)
{
    return e->batch->max_segments;
}

/* out (C) = the mean of rows (n,C), of length 1 where that is asked for: as
 * torch.nn.functional.normalize has it, x / max(|x|, 1e-12). */
static bool pool(float *out, const float *rows, size_t n, size_t C, bool normalize)
{
    double squares = 0.0;
    for (size_t c = 0; c < C; c++) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            sum += (double)rows[i * C + c];
        }
        out[c] = (float)(sum / (double)n);
        squares += (double)out[c] * (double)out[c];
    }
    double length = sqrt(squares);
    if (length < 1e-12) { length = 1e-12; }
    for (size_t c = 0; c < C && normalize; c++) {
        out[c] = (float)((double)out[c] / length);
    }
    return isfinite(squares);
}

enum lorac_status lorac_embedder_run(float *out, struct lorac_embedder *e, struct lorac_err *err)
{
    struct lorac_batch *b = e->batch;
    const size_t C = e->m->config.C;
    if (b->S == 0) { return LORAC_OK; }
    enum lorac_status st = make_room(e, b->N, err);
    if (!st) { st = lorac_pass_forward(e->pass, b, NULL, err); }
    if (st) { return st; }
    lorac_pass_logits(e->pass, b, e->rows);
    for (size_t s = 0, u = 0; s < b->S && !st; s++) {
        size_t n = 0;
        while (u + n < b->U && b->head_row[u + n] < b->segments[s].row + b->segments[s].n) {
            n++;
        }
        if (!pool(out + s * C, e->rows + u * C, n, C, e->how.normalize)) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "a vector is not finite: are the weights or the adapter damaged?");
        }
        u += n;
    }
    lorac_batch_clear(b);
    return st;
}
