/* write.c - what was learned as tokenizer.json and tokenizer_config.json, and read back.
 */
#include "base/core/mem.h"
#include "base/tokenizer/train_impl.h"

#include <string.h>

enum { SAMPLE = 8192 }; // bytes of each file that are encoded to compare

static void quote(struct lorac_buf *b, const char *s)
{
    lorac_buf_json(b, s, strlen(s));
}

static void put_added(struct lorac_buf *b, const struct lorac_learned *l)
{
    size_t n = 0;
    lorac_buf_str(b, "  \"added_tokens\": [");
    for (size_t i = 0; i < l->n_specials; i++) {
        lorac_buf_printf(b, "%s\n    {\"id\": %zu, \"content\": ", i ? "," : "", i);
        quote(b, lorac_vocab_text(&l->tokens, (int32_t)i, &n));
        lorac_buf_str(b, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                         "\"normalized\": false, \"special\": true}");
    }
    lorac_buf_str(b, "\n  ],\n");
}

static void put_pre_tokenizer(struct lorac_buf *b, const char *pattern)
{
    lorac_buf_str(b, "  \"pre_tokenizer\": ");
    if (!pattern) {
        lorac_buf_str(b, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                         "\"trim_offsets\": true, \"use_regex\": true},\n");
        return;
    }
    lorac_buf_str(b, "{\"type\": \"Sequence\", \"pretokenizers\": [\n"
                     "    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    quote(b, pattern);
    lorac_buf_str(b, "}, \"behavior\": \"Isolated\", \"invert\": false},\n"
                     "    {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                     "\"trim_offsets\": true, \"use_regex\": false}\n  ]},\n");
}

static void put_model(struct lorac_buf *b, const struct lorac_learned *l)
{
    size_t n = 0;
    lorac_buf_str(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                     "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                     "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                     "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                     "    \"vocab\": {");
    for (size_t id = 0; id < l->tokens.size; id++) {
        lorac_buf_str(b, id ? ",\n      " : "\n      ");
        quote(b, lorac_vocab_text(&l->tokens, (int32_t)id, &n));
        lorac_buf_printf(b, ": %zu", id);
    }
    lorac_buf_str(b, "\n    },\n    \"merges\": [");
    for (size_t i = 0; i < l->n_merges; i++) {
        const struct lorac_learned_merge *m = &l->merges[i];
        lorac_buf_str(b, i ? ",\n      [" : "\n      [");
        quote(b, lorac_vocab_text(&l->tokens, m->a, &n));
        lorac_buf_str(b, ", ");
        quote(b, lorac_vocab_text(&l->tokens, m->b, &n));
        lorac_buf_str(b, "]");
    }
    lorac_buf_str(b, "\n    ]\n  }\n");
}

static void put_tokenizer(struct lorac_buf *b, const struct lorac_learned *l, const char *pattern)
{
    lorac_buf_str(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(b, l);
    lorac_buf_str(b, "  \"normalizer\": null,\n");
    put_pre_tokenizer(b, pattern);
    lorac_buf_str(b, "  \"post_processor\": null,\n"
                     "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                     "\"trim_offsets\": true, \"use_regex\": true},\n");
    put_model(b, l);
    lorac_buf_str(b, "}\n");
}

static void put_config(struct lorac_buf *b, const struct lorac_tokenizer_options *o)
{
    const char *const keys[] = {"bos_token", "eos_token", "pad_token"};
    const char *const names[] = {o->bos, o->eos, o->pad};
    lorac_buf_str(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n");
    for (size_t i = 0; i < 3; i++) {
        if (!names[i]) { continue; }
        lorac_buf_printf(b, "  \"%s\": ", keys[i]);
        quote(b, names[i]);
        lorac_buf_str(b, ",\n");
    }
    if (o->max_length) { lorac_buf_printf(b, "  \"model_max_length\": %zu,\n", o->max_length); }
    lorac_buf_str(b, "  \"clean_up_tokenization_spaces\": false\n}\n");
}

static enum lorac_status write_file(const char *dir, const char *name, const struct lorac_buf *b,
                                    struct lorac_err *err)
{
    char path[LORAC_PATH];
    if (b->no_memory) { return lorac_no_memory(err); }
    return lorac_file_write(lorac_path_in(path, dir, name), b->at, b->n, err);
}

enum lorac_status lorac_tokenizer_write(const char *dir, const struct lorac_learned *l,
                                        const struct lorac_tokenizer_options *o,
                                        struct lorac_err *err)
{
    struct lorac_buf b = {0};
    put_tokenizer(&b, l, o->pattern);
    enum lorac_status st = write_file(dir, "tokenizer.json", &b, err);
    lorac_buf_clear(&b);
    put_config(&b, o);
    if (!st) { st = write_file(dir, "tokenizer_config.json", &b, err); }
    lorac_buf_free(&b);
    return st;
}

/* ---- reading back ---- */

/* Every token has its id, every special one is special, and so are BOS and EOS. */
static enum lorac_status check_tokens(const struct lorac_tokenizer *t,
                                      const struct lorac_learned *l,
                                      const struct lorac_tokenizer_options *o,
                                      struct lorac_err *err)
{
    size_t n = 0;
    bool same = lorac_tokenizer_size(t) == l->tokens.size;
    for (size_t id = 0; id < l->tokens.size && same; id++) {
        const char *text = lorac_vocab_text(&l->tokens, (int32_t)id, &n);
        same = lorac_token_find(t, text) == (int32_t)id &&
               lorac_token_is_special(t, (int32_t)id) == (id < l->n_specials);
    }
    const int32_t bos = lorac_tokenizer_bos(t);
    const int32_t eos = lorac_tokenizer_eos(t);
    same = same && bos == (o->bos ? lorac_token_find(t, o->bos) : -1) &&
           eos == (o->eos ? lorac_token_find(t, o->eos) : -1);
    if (same) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EIO, "the vocabulary reads back with other tokens");
}

struct expected {
    const struct lorac_learned *l;
    struct lorac_ids ids;
};

static enum lorac_status encode_piece(void *who, const char *s, size_t n, struct lorac_err *err)
{
    struct expected *e = who;
    return lorac_learned_encode(&e->ids, e->l, s, n, err);
}

/* The text becomes the ids that the merges give, and these the text. */
static enum lorac_status check_text(const struct lorac_tokenizer *t, const struct lorac_learned *l,
                                    const struct lorac_pattern *pattern, const char *s, size_t n,
                                    struct lorac_err *err)
{
    struct lorac_matcher m = {0};
    struct lorac_ids ids = {0};
    struct lorac_buf back = {0};
    struct expected want = {.l = l};
    const struct lorac_text text = {.at = s, .n = n};
    enum lorac_status st = lorac_each_piece(pattern, &m, s, n, encode_piece, &want, err);
    if (!st) { st = lorac_encode(&ids, t, &text, 1, LORAC_ENCODE_ALONE, err); }
    if (!st) { st = lorac_decode(&back, t, ids.at, ids.n, false, err); }
    if (st) { goto done; }
    if (ids.n != want.ids.n || memcmp(ids.at, want.ids.at, ids.n * sizeof *ids.at) != 0) {
        st = lorac_fail(err, LORAC_EIO, "the first %zu bytes read back as other ids", n);
    } else if (back.n != n || memcmp(back.at, s, n) != 0) {
        st = lorac_fail(err, LORAC_EIO, "the first %zu bytes read back as other text", n);
    }
done:
    lorac_matcher_release(&m);
    lorac_ids_free(&ids);
    lorac_ids_free(&want.ids);
    lorac_buf_free(&back);
    return st;
}

static enum lorac_status check_file(const struct lorac_tokenizer *t, const struct lorac_learned *l,
                                    const struct lorac_pattern *pattern, const char *file,
                                    struct lorac_err *err)
{
    struct lorac_map map = {0};
    enum lorac_status st = lorac_map_open(&map, file, err);
    if (st) { return st; }
    size_t n = map.size < SAMPLE ? map.size : SAMPLE;
    while (n < map.size && n > 0 && (map.data[n] & 0xC0) == 0x80) { // within a character
        n--;
    }
    if (n) { st = check_text(t, l, pattern, (const char *)map.data, n, err); }
    if (st) { lorac_err_prefix(err, "%s: ", file); }
    lorac_map_close(&map);
    return st;
}

enum lorac_status lorac_tokenizer_check(const char *dir, const struct lorac_learned *l,
                                        const struct lorac_tokenizer_options *o,
                                        const struct lorac_pattern *pattern, struct lorac_err *err)
{
    struct lorac_tokenizer *t = NULL;
    enum lorac_status st = lorac_tokenizer_open(&t, dir, err);
    if (!st) { st = check_tokens(t, l, o, err); }
    for (size_t i = 0; i < o->n_files && !st; i++) {
        st = check_file(t, l, pattern, o->files[i], err);
    }
    lorac_tokenizer_free(t);
    return st;
}
