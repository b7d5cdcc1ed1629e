/*
 * Vectors of texts. What is promised:
 *   - they are the last hidden states of transformers, pooled (tests/golden/embed.json), however
 *     many texts run together;
 *   - a text is read as the tokenizer frames it, and one that is too long loses its end alone; of
 *     a folder of sentence-transformers without the white space around it;
 *   - what the folder says of its vectors is followed, or refused by name;
 *   - want of memory is reported.
 */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/embed.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64, TEXTS = 8 };
static struct lorac_device dev;
static const struct lorac_model_options body = {.task = LORAC_TASK_BODY};

static int open_device(void **state)
{
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    return tiny_model(state);
}

static int close_device(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

static struct lorac_model *open_model(const char *dir)
{
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    if (lorac_model_open_for(&m, &dev, dir, &body, &err)) { fail_msg("%s", err.text); }
    return m;
}

static struct lorac_tokenizer *tokenizer(void)
{
    struct lorac_tokenizer *t = NULL;
    assert_int_equal(lorac_tokenizer_open(&t, tiny_path("model"), NULL), LORAC_OK);
    return t;
}

static struct lorac_embedder *embedder(const struct lorac_model *m, const struct lorac_tokenizer *t,
                                       const struct lorac_embedding *how)
{
    struct lorac_embedder *e = NULL;
    struct lorac_err err = {0};
    if (lorac_embedder_new(&e, m, t, NULL, how, &err)) { fail_msg("%s", err.text); }
    return e;
}

/* ---- as transformers has them ---- */

/* Float32 lies from float64 by less than 4.6e-6 in the goldens' logits (README); here by 4e-7. */
static void same(const float *got, const json_t *want, size_t C, bool normalized)
{
    double squares = 0.0;
    assert_int_equal(json_array_size(want), C);
    for (size_t c = 0; c < C; c++) {
        double x = json_number_value(json_array_get(want, c));
        squares += x * x;
    }
    for (size_t c = 0; c < C; c++) {
        double x = json_number_value(json_array_get(want, c)) / (normalized ? sqrt(squares) : 1.0);
        if (!(fabs((double)got[c] - x) <= 4e-6)) {
            fail_msg("%zu: %.9g, %.9g", c, (double)got[c], x);
        }
    }
}

static void check_case(const struct lorac_json *of, const char *name, enum lorac_pooling pooling,
                       bool normalize)
{
    float out[TEXTS * MOST];
    char dir[512];
    struct lorac_json batch = {0};
    struct lorac_tokenizer *t = tokenizer(); // ids come as they are
    (void)snprintf(dir, sizeof dir, LORAC_TESTS_DIR "/golden/models/%s", name);
    struct lorac_model *m = open_model(dir);
    size_t C = m->config.C;
    struct lorac_embedding how = {.pooling = pooling, .normalize = normalize, .max_tokens = 32};
    struct lorac_embedder *e = embedder(m, t, &how);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/batch.json", dir);
    assert_int_equal(lorac_json_load(&batch, path, 1 << 20, NULL), LORAC_OK);
    json_t *segments = json_object_get(batch.value, "segments");
    json_t *want = json_object_get(of->value, lorac_pooling_name(pooling));
    size_t n = json_array_size(segments);
    assert_true(n > 1 && n <= TEXTS && C <= MOST && json_array_size(want) == n);
    for (size_t i = 0; i < n; i++) {
        int32_t ids[MOST];
        json_t *segment = json_array_get(segments, i);
        for (size_t k = 0; k < json_array_size(segment); k++) {
            ids[k] = (int32_t)json_integer_value(json_array_get(segment, k));
        }
        assert_true(lorac_embedder_add_ids(e, ids, json_array_size(segment)));
    }
    assert_int_equal(lorac_embedder_texts(e), n);
    assert_int_equal(lorac_embedder_run(out, e, NULL), LORAC_OK);
    assert_int_equal(lorac_embedder_texts(e), 0);
    for (size_t i = 0; i < n; i++) {
        same(out + i * C, json_array_get(want, i), C, normalize);
    }
    lorac_json_free(&batch);
    lorac_embedder_free(e);
    lorac_model_close(m);
    lorac_tokenizer_free(t);
}

static void vectors_are_those_of_transformers(void **state)
{
    (void)state;
    struct lorac_json golden = {0};
    size_t cases = 0;
    const char *name = NULL;
    json_t *value = NULL;
    assert_int_equal(lorac_json_load(&golden, LORAC_TESTS_DIR "/golden/embed.json", 1 << 20, NULL),
                     LORAC_OK);
    json_object_foreach(golden.value, name, value)
    {
        if (strcmp(name, "versions") == 0) { continue; }
        struct lorac_json at = lorac_json_get(&golden, name);
        for (size_t p = 0; lorac_pooling_name(p); p++) {
            check_case(&at, name, (enum lorac_pooling)p, false);
            check_case(&at, name, (enum lorac_pooling)p, true);
        }
        cases++;
    }
    assert_true(cases >= 2);
    lorac_json_free(&golden);
}

/* ---- texts ---- */

static void a_long_text_loses_its_end(void **state)
{
    (void)state;
    static const char single[] =
        "\"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}";
    static const char ended[] =
        "\"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": \"</s>\", \"type_id\": 0}}";
    struct lorac_model *m = open_model(tiny_path("model"));
    tiny_edit("model/tokenizer.json", single, ended);
    tiny_edit("model/tokenizer.json", "\"special_tokens\": {",
              "\"special_tokens\": {\"</s>\": {\"id\": \"</s>\", \"ids\": [257], "
              "\"tokens\": [\"</s>\"]}, ");
    struct lorac_tokenizer *t = tokenizer();
    size_t C = m->config.C;
    char prompt[] = "q: ";
    struct lorac_embedding how = {.normalize = true, .max_tokens = 6, .prompt = prompt};
    struct lorac_embedder *e = embedder(m, t, &how);
    float got[2 * MOST];
    float want[MOST];
    bool added = false;
    size_t cut = 0;
    assert_int_equal(lorac_embedder_add(&added, &cut, e, "so", 2, NULL), LORAC_OK);
    assert_true(added && cut == 0);
    assert_int_equal(lorac_embedder_add(&added, &cut, e, "soup", 4, NULL), LORAC_OK);
    assert_true(added && cut == 2); // <s> "q" ": " "s" "o" </s>
    assert_int_equal(lorac_embedder_run(got, e, NULL), LORAC_OK);
    const int32_t ids[] = {256, 'q', 259, 's', 'o', 257};
    assert_true(lorac_embedder_add_ids(e, ids, 6));
    assert_int_equal(lorac_embedder_run(want, e, NULL), LORAC_OK);
    for (size_t c = 0; c < C; c++) {
        assert_float_equal(got[c], want[c], 1e-6);
        assert_float_equal(got[C + c], want[c], 1e-6);
    }
    lorac_embedder_free(e);
    how.max_tokens = 2;
    struct lorac_err err = {0};
    assert_int_equal(lorac_embedder_new(&e, m, t, NULL, &how, &err), LORAC_EUSER);
    assert_string_equal(err.text, "at most 2 tokens a text, of which 2 are the tokenizer's own: no "
                                  "room for the text");
    lorac_tokenizer_free(t);
    lorac_model_close(m);
}

static void texts_beyond_a_batch_wait_for_the_next(void **state)
{
    (void)state;
    enum { ROOM = 1024, LONG = 400 };
    struct lorac_model *m = open_model(tiny_path("model"));
    struct lorac_tokenizer *t = tokenizer();
    struct lorac_embedding how = {.normalize = true, .max_tokens = (size_t)4 * ROOM};
    struct lorac_embedder *e = embedder(m, t, &how);
    assert_int_equal(lorac_embedder_most(e), ROOM); // however long one may be
    float *out = lorac_mem_new(lorac_embedder_most(e) * m->config.C, sizeof *out);
    int32_t ids[LONG] = {0};
    size_t length = LONG < m->config.max_positions ? LONG : m->config.max_positions;
    size_t n = 0;
    while (lorac_embedder_add_ids(e, ids, length)) {
        n++;
    }
    assert_int_equal(n, ROOM / length);
    assert_int_equal(lorac_embedder_run(out, e, NULL), LORAC_OK);
    assert_true(lorac_embedder_add_ids(e, ids, length));
    lorac_mem_free(out);
    lorac_embedder_free(e);
    lorac_tokenizer_free(t);
    lorac_model_close(m);
}

/* As sentence-transformers has it; a prompt and its text are one. */
static void white_space_around_a_text_is_none_of_it(void **state)
{
    (void)state;
    struct lorac_model *m = open_model(tiny_path("model"));
    struct lorac_tokenizer *t = tokenizer();
    char prompt[] = " q: ";
    const struct {
        char *prompt;
        const char *text[2];
    } cases[] = {{NULL, {"soup", " \n soup\t "}},
                 {NULL, {"", "  "}},
                 {prompt, {"soup", "soup\t "}},
                 {prompt, {"", "  "}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_embedding how = {.max_tokens = 16, .stated = true, .prompt = cases[i].prompt};
        struct lorac_embedder *e = embedder(m, t, &how);
        float got[2 * MOST];
        bool added = false;
        size_t cut = 0;
        for (size_t k = 0; k < 2; k++) {
            const char *text = cases[i].text[k];
            assert_int_equal(lorac_embedder_add(&added, &cut, e, text, strlen(text), NULL),
                             LORAC_OK);
        }
        assert_int_equal(lorac_embedder_run(got, e, NULL), LORAC_OK);
        for (size_t c = 0; c < m->config.C; c++) {
            assert_float_equal(got[c], got[m->config.C + c], 1e-6);
        }
        lorac_embedder_free(e);
    }
    lorac_tokenizer_free(t);
    lorac_model_close(m);
}

/* ---- the folder ---- */

static const char modules[] =
    "[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},"
    " {\"path\": \"1_Pooling\", \"type\": \"a.b.Pooling\"},"
    " {\"path\": \"2\", \"type\": \"a.Normalize\"}]";

static void refused(const struct lorac_model *m, enum lorac_status status, const char *want)
{
    struct lorac_embedding how;
    struct lorac_err err = {0};
    assert_int_equal(lorac_embedding_read(&how, m, &err), status);
    if (!strstr(err.text, want)) { fail_msg("'%s' lacks '%s'", err.text, want); }
    assert_null(how.prompt);
}

static void the_folder_says_how(void **state)
{
    (void)state;
    struct lorac_model *m = open_model(tiny_path("model"));
    struct lorac_embedding how;
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    assert_true(how.pooling == LORAC_POOL_MEAN && how.normalize && !how.stated && !how.prompt);
    assert_int_equal(how.max_tokens, m->config.max_positions);

    tiny_text("model/modules.json", modules);
    refused(m, LORAC_EFORMAT, "1_Pooling/config.json: is missing, but modules.json names its");
    assert_int_equal(lorac_dir_make(tiny_path("model/1_Pooling"), NULL), LORAC_OK);
    tiny_text("model/1_Pooling/config.json",
              "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}");
    tiny_text("model/sentence_bert_config.json", "{\"max_seq_length\": 12}");
    tiny_text("model/config_sentence_transformers.json",
              "{\"prompts\": {\"a\": \"ask: \"}, \"default_prompt_name\": \"a\"}");
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    assert_true(how.pooling == LORAC_POOL_CLS && how.stated && how.max_tokens == 12);
    assert_string_equal(how.prompt, "ask: ");
    lorac_embedding_release(&how);

    tiny_text("model/1_Pooling/config.json", "{\"pooling_mode\": \"lasttoken\"}");
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    assert_int_equal(how.pooling, LORAC_POOL_LAST);
    lorac_embedding_release(&how);
    tiny_text("model/1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}");
    refused(m, LORAC_ENOTSUP, "pools in another way than by one of mean, cls and last token");
    tiny_text("model/1_Pooling/config.json", "{\"pooling_mode\": \"max\"}");
    refused(m, LORAC_ENOTSUP, "pools in another way than");
    tiny_text("model/1_Pooling/config.json",
              "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_cls_token\": true}");
    refused(m, LORAC_ENOTSUP, "pools in another way than");
    tiny_text("model/1_Pooling/config.json",
              "{\"pooling_mode_mean_tokens\": true, \"include_prompt\": false}");
    refused(m, LORAC_ENOTSUP, "include_prompt false is not supported");
    tiny_text("model/config_sentence_transformers.json", "{\"prompts\": {\"a\": \"ask: \"}}");
    assert_int_equal(lorac_embedding_read(&how, m, NULL),
                     LORAC_OK); // no prompt, nothing to leave out
    tiny_text("model/1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}");
    tiny_edit("model/modules.json", "a.Normalize", "a.Dense");
    refused(m, LORAC_ENOTSUP, "a module of type Dense stands behind the model");
    tiny_text("model/modules.json", modules);
    tiny_text("model/sentence_bert_config.json", "{\"do_lower_case\": true}");
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    struct lorac_tokenizer *t = tokenizer();
    struct lorac_embedder *e = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_embedder_new(&e, m, t, NULL, &how, &err), LORAC_ENOTSUP);
    assert_non_null(strstr(err.text, "lower-cases texts (do_lower_case), which its tokenizer does "
                                     "not do"));
    lorac_tokenizer_free(t);
    tiny_text("model/sentence_llama_config.json", "{\"max_seq_length\": 9}");
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    assert_int_equal(how.max_tokens, m->config.max_positions);
    assert_int_equal(lorac_file_remove(tiny_path("model/sentence_bert_config.json"), NULL),
                     LORAC_OK);
    assert_int_equal(lorac_embedding_read(&how, m, NULL), LORAC_OK);
    assert_true(how.max_tokens == 9 && !how.lower);
    tiny_text("model/config_sentence_transformers.json", "{\"default_prompt_name\": \"a\"}");
    refused(m, LORAC_EFORMAT, "a");
    assert_int_equal(lorac_file_remove(tiny_path("model/modules.json"), NULL), LORAC_OK);
    assert_int_equal(lorac_file_remove(tiny_path("model/config_sentence_transformers.json"), NULL),
                     LORAC_OK);
    assert_int_equal(lorac_file_remove(tiny_path("model/sentence_llama_config.json"), NULL),
                     LORAC_OK);
    lorac_model_close(m);
}

static void want_of_memory_is_reported(void **state)
{
    (void)state;
    struct lorac_model *m = open_model(tiny_path("model"));
    struct lorac_tokenizer *t = tokenizer();
    float out[MOST];
    long n = 0;
    tiny_text("model/config_sentence_transformers.json",
              "{\"prompts\": {\"a\": \"ask: \"}, \"default_prompt_name\": \"a\"}");
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        struct lorac_embedding how = {0};
        struct lorac_embedder *e = NULL;
        bool added = false;
        size_t cut = 0;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_embedding_read(&how, m, &err);
        if (!st) { st = lorac_embedder_new(&e, m, t, NULL, &how, &err); }
        if (!st) { st = lorac_embedder_add(&added, &cut, e, "soup", 4, &err); }
        if (!st) { st = lorac_embedder_run(out, e, &err); }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_embedder_free(e);
        lorac_embedding_release(&how);
    }
    assert_true(n > 10);
    lorac_tokenizer_free(t);
    lorac_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_of_transformers),
        cmocka_unit_test(a_long_text_loses_its_end),
        cmocka_unit_test(texts_beyond_a_batch_wait_for_the_next),
        cmocka_unit_test(white_space_around_a_text_is_none_of_it),
        cmocka_unit_test(the_folder_says_how),
        cmocka_unit_test(want_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
