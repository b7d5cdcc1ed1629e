/* tokenizer.c - opening, closing and asking; the files beside this one do the work. */
#include "base/tokenizer/impl.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/stand_in.h"

#include <string.h>

static struct lorac_tokenizer *tokenizer_new(struct lorac_err *err)
{
    struct lorac_tokenizer *t = lorac_mem_new(1, sizeof *t);
    if (!t) {
        (void)lorac_no_memory(err);
        return NULL;
    }
    t->unk = t->bos = t->eos = t->pad = t->mask = -1;
    return t;
}

void lorac_tokenizer_free(struct lorac_tokenizer *t)
{
    if (!t) { return; }
    lorac_vocab_release(&t->vocab);
    lorac_vocab_release(&t->names);
    lorac_mem_free(t->merges.slots);
    for (size_t i = 0; i < t->n_added; i++) {
        lorac_mem_free(t->added[i].match);
    }
    lorac_mem_free(t->added);
    lorac_mem_free(t->added_of);
    lorac_mem_free(t->raw.at);
    lorac_mem_free(t->normalized.at);
    for (size_t i = 0; i < t->n_norm; i++) {
        lorac_pattern_release(&t->norm[i].pattern);
        lorac_mem_free(t->norm[i].text);
    }
    for (size_t i = 0; i < t->n_pre; i++) {
        lorac_pattern_release(&t->pre[i].pattern);
    }
    for (size_t i = 0; i < t->n_dec; i++) {
        lorac_pattern_release(&t->dec[i].pattern);
        lorac_mem_free(t->dec[i].text);
    }
    lorac_ids_free(&t->before);
    lorac_ids_free(&t->after);
    lorac_ids_free(&t->ends);
    for (size_t i = 0; i < 3; i++) {
        lorac_ids_free(&t->pair.ids[i]);
        lorac_ids_free(&t->pair.types[i]);
    }
    lorac_mem_free(t);
}

enum lorac_status lorac_tokenizer_parse(struct lorac_tokenizer **out, const char *json, size_t n,
                                        const char *file, struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_tokenizer *t = NULL;
    enum lorac_status st = LORAC_OK;
    if (n > TOK_MAX_JSON) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: holds %zu bytes, at most %d were expected", file,
                        n, TOK_MAX_JSON);
        goto done;
    }
    st = lorac_json_parse(&root, json, n, file, err);
    if (st) { goto done; }
    t = tokenizer_new(err);
    st = t ? lorac_read_tokenizer(t, &root, err) : LORAC_ENOMEM;
    if (!st) { st = lorac_added_build(t, file, err); }
done:
    lorac_json_free(&root);
    if (st) {
        lorac_tokenizer_free(t);
        t = NULL;
    }
    *out = t;
    return st;
}

/* Where no file names it: the special token that transformers' classes of masked models name. */
static void find_mask(struct lorac_tokenizer *t)
{
    static const char *const names[] = {"[MASK]", "<mask>"};
    for (size_t i = 0; i < sizeof names / sizeof *names && t->mask < 0; i++) {
        int32_t id = lorac_token_find(t, names[i]);
        if (id >= 0 && lorac_token_is_special(t, id)) { t->mask = id; }
    }
}

enum lorac_status lorac_tokenizer_open(struct lorac_tokenizer **out, const char *dir,
                                       struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_tokenizer *t = NULL;
    const struct lorac_class *class = NULL;
    enum lorac_status st = LORAC_OK;
    char path[LORAC_PATH];
    bool there = lorac_path_exists(lorac_path_in(path, dir, "tokenizer.json"));
    *out = NULL;
    t = tokenizer_new(err);
    if (!t) { return LORAC_ENOMEM; }
    if (!there && (lorac_path_holds(dir, "vocab.json") || lorac_path_holds(dir, "vocab.txt"))) {
        st = lorac_read_vocab_files(t, &class, dir, err);
    } else if (lorac_path_is_dir(dir) && !there) {
        st = lorac_stand_in_tokenizer(dir, path, err);
    } else {
        st = lorac_json_load(&root, path, TOK_MAX_JSON, err);
        if (!st) { st = lorac_read_bert_keys(t, &root, dir, err); }
        if (!st) { st = lorac_read_tokenizer(t, &root, err); }
    }
    if (!st) { st = lorac_read_folder(t, dir, class, err); }
    if (!st) { st = lorac_added_build(t, path, err); }
    if (!st) { find_mask(t); }
    lorac_json_free(&root);
    if (st) {
        lorac_tokenizer_free(t);
        t = NULL;
    }
    *out = t;
    return st;
}

const char *lorac_tokenizer_note(const struct lorac_tokenizer *t)
{
    return t->note[0] ? t->note : NULL;
}

size_t lorac_tokenizer_size(const struct lorac_tokenizer *t)
{
    return t->size;
}

const char *lorac_token_text(const struct lorac_tokenizer *t, int32_t id)
{
    size_t n = 0;
    const char *s = lorac_vocab_text(&t->names, id, &n);
    return s ? s : lorac_vocab_text(&t->vocab, id, &n);
}

int32_t lorac_token_find(const struct lorac_tokenizer *t, const char *text)
{
    const size_t n = strlen(text);
    const int32_t id = lorac_vocab_find(&t->names, text, n);
    return id >= 0 ? id : lorac_vocab_find(&t->vocab, text, n);
}

bool lorac_token_is_special(const struct lorac_tokenizer *t, int32_t id)
{
    const struct lorac_added *a = lorac_added_find(t, id);
    return a && a->special;
}

int32_t lorac_tokenizer_bos(const struct lorac_tokenizer *t)
{
    return t->bos;
}

int32_t lorac_tokenizer_eos(const struct lorac_tokenizer *t)
{
    return t->eos;
}

int32_t lorac_tokenizer_pad(const struct lorac_tokenizer *t)
{
    return t->pad;
}

const struct lorac_ids *lorac_tokenizer_before(const struct lorac_tokenizer *t)
{
    return &t->before;
}

const struct lorac_ids *lorac_tokenizer_after(const struct lorac_tokenizer *t)
{
    return &t->after;
}

int32_t lorac_tokenizer_mask(const struct lorac_tokenizer *t)
{
    return t->mask;
}

const struct lorac_pair_form *lorac_tokenizer_pair(const struct lorac_tokenizer *t)
{
    return t->has_pair ? &t->pair : NULL;
}

bool lorac_token_is_end(const struct lorac_tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->ends.n; i++) {
        if (t->ends.at[i] == id) { return true; }
    }
    return false;
}
