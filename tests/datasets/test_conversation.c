/*
 * Rows as conversations in the form of a chat template. What is promised:
 *   - ids, and which of them are trained, are those of transformers (chat_rows.json), on the bytes
 *     tokenizer, and on SmolLM2's where LORAC_SMOLLM2 names its folder;
 *   - a turn is written as columns, by name or mapped (Alpaca), or as text of their own; a whole
 *     conversation as OpenAI and ShareGPT write it, parts of text too;
 *   - what is said otherwise is an error with its line: order, roles, blanks, tools, parts;
 *   - all answers are trained, or the last, but none of weight 0 (OpenAI's);
 *   - the batch scores just these; ids are the same whether they are kept or made again;
 *   - a conversation that is too long loses its oldest turns, then words; its answer stays whole;
 *   - no token lies across the beginning of an answer;
 *   - an answer that the template leaves open ends with EOS;
 *   - want of memory is told.
 */
#include "base/core/file.h"
#include "base/core/json.h"
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <stdlib.h>

static const struct lorac_table_format jsonl = {.kind = LORAC_TABLE_JSONL};
static struct lorac_err err;
static struct lorac_tokenizer *bytes;
static struct lorac_chat *marked; // the template of data/chat

static int open_all(void **state)
{
    if (tiny_model(state)) { return 1; }
    bytes = open_bytes();
    return lorac_chat_open(&marked, LORAC_TESTS_DIR "/datasets/data/chat", bytes, &err) != LORAC_OK;
}

static int close_all(void **state)
{
    lorac_chat_free(marked);
    lorac_tokenizer_free(bytes);
    return tiny_remove(state);
}

static struct lorac_dataset_options plain(void)
{
    struct lorac_dataset_options o = lorac_dataset_options_default();
    o.chat = marked;
    o.train_on = LORAC_TRAIN_ASSISTANT;
    o.max_length = 4096;
    return o;
}

static struct lorac_table *parse(const char *text)
{
    struct lorac_table *t = NULL;
    if (lorac_table_parse(&t, text, strlen(text), "t.jsonl", &jsonl, &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

/* Example 0 as text: [ and ] for <s> and </s>, what is not trained as capitals, a trained ] as }.
 */
static const char *shown(const char *rows, const struct lorac_dataset_options *o)
{
    static char text[512];
    struct lorac_table *t = parse(rows);
    struct lorac_dataset *d = NULL;
    struct lorac_example e = {0};
    enum lorac_status st = lorac_dataset_open(&d, t, bytes, o, &err);
    if (!st) { st = lorac_dataset_example(&e, d, 0, &err); }
    assert_true(e.ids.n < sizeof text);
    for (size_t i = 0; i < e.ids.n && !st; i++) {
        int32_t id = e.ids.at[i];
        char c = (char)(id == BOS ? '[' : id == EOS ? ']' : id == '\n' ? '/' : id);
        bool trained = lorac_example_trains(&e, i);
        if (!trained && c >= 'a' && c <= 'z') { c -= 32; }
        text[i] = trained && id == EOS ? '}' : c;
    }
    text[e.ids.n] = '\0';
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
    return st ? err.text : text;
}

/* ---- transformers ---- */

static void expect_row(const struct lorac_json *row, const struct lorac_tokenizer *t,
                       const struct lorac_chat *chat)
{
    struct lorac_buf line = {0};
    struct lorac_dataset_options o = plain();
    struct lorac_example e = {0};
    o.chat = chat;
    lorac_buf_str(&line, "{\"messages\": ");
    lorac_json_text(&line, json_object_get(row->value, "messages"), JSON_COMPACT);
    lorac_buf_str(&line, "}\n");
    struct lorac_table *table = parse(line.at);
    struct lorac_dataset *d = open_dataset(table, t, &o);
    assert_int_equal(lorac_dataset_example(&e, d, 0, &err), LORAC_OK);
    const json_t *ids = json_object_get(row->value, "ids");
    const json_t *mask = json_object_get(row->value, "mask");
    size_t n = json_array_size(ids);
    while (n > 0 && !json_integer_value(json_array_get(mask, n - 1))) {
        n--; // what nobody reads is not kept
    }
    assert_int_equal(e.ids.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(e.ids.at[i], json_integer_value(json_array_get(ids, i)));
        assert_int_equal(lorac_example_trains(&e, i), json_integer_value(json_array_get(mask, i)));
    }
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(table);
    lorac_buf_free(&line);
}

static void ids_and_mask_are_those_of_transformers(void **state)
{
    (void)state;
    struct lorac_json root = {0};
    struct lorac_tokenizer *smol = NULL;
    struct lorac_chat *its = NULL;
    const char *folder = getenv("LORAC_SMOLLM2"); // NOLINT(concurrency-mt-unsafe)
    size_t seen = 0;
    if (folder) {
        assert_int_equal(lorac_tokenizer_open(&smol, folder, &err), LORAC_OK);
        assert_int_equal(lorac_chat_open(&its, folder, smol, &err), LORAC_OK);
    }
    assert_int_equal(
        lorac_json_load(&root, LORAC_TESTS_DIR "/golden/chat_rows.json", 1 << 20, &err), LORAC_OK);
    for (size_t i = 0; i < json_array_size(root.value); i++) {
        struct lorac_json row = lorac_json_at(&root, i);
        const char *name = json_string_value(json_object_get(row.value, "tokenizer"));
        bool own = strcmp(name, "bytes") == 0;
        if (own) { expect_row(&row, bytes, marked); }
        if (!own && folder) { expect_row(&row, smol, its); }
        seen += own || folder;
    }
    assert_int_equal(seen, folder ? 12 : 6);
    lorac_json_free(&root);
    lorac_chat_free(its);
    lorac_tokenizer_free(smol);
}

/* ---- how rows are written ---- */

static void turns_come_from_columns(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    assert_string_equal(shown("{\"user\": \"q\", \"assistant\": \"ans\"}\n", &o),
                        "[USER/Q]/[ASSISTANT/ans}");
    assert_string_equal(
        shown("{\"system\": \"s\", \"user\": \"q\", \"assistant\": \"ans\", \"input\": \"i\"}\n",
              &o),
        "[SYSTEM/S]/[USER/Q/I]/[ASSISTANT/ans}");
    assert_string_equal(
        shown("{\"system\": null, \"user\": \"</s>\", \"assistant\": \"</s>\", \"input\": \"\"}\n",
              &o),
        "[USER/</S>]/[ASSISTANT/</s>}");
    const struct lorac_variable alpaca[] = {
        {"user", "instruction"}, {"input", "input"}, {"assistant", "output"}};
    o.variables = alpaca;
    o.n_variables = 3;
    assert_string_equal(
        shown("{\"instruction\": \"do\", \"input\": \"x\", \"output\": \"done\"}\n", &o),
        "[USER/DO/X]/[ASSISTANT/done}");
    o.system = "be {input}";
    o.prompt = "Q:{user}?";
    o.completion = "{assistant}.";
    assert_string_equal(
        shown("{\"instruction\": \"do\", \"input\": \"x\", \"output\": \"done\"}\n", &o),
        "[SYSTEM/BE X]/[USER/Q:DO?]/[ASSISTANT/done.}");
}

#define TURN(who, says) "{\"role\": \"" who "\", \"content\": \"" says "\"}"
#define FOUR                                                                  \
    "{\"messages\": [" TURN("user", "q") "," TURN("assistant", "r") "," TURN( \
        "user", "t") "," TURN("assistant", "xy") "]}\n"

static void conversations_come_as_others_write_them(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    assert_string_equal(shown(FOUR, &o), "[USER/Q]/[ASSISTANT/r}/[USER/T]/[ASSISTANT/xy}");
    assert_string_equal(
        shown("{\"id\": 7, \"system\": \"s\", \"tools\": [], \"messages\": "
              "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, "
              "{\"type\": \"text\", \"value\": \"c\"}], \"loss_weight\": 0.0, \"name\": null}, "
              "{\"role\": \"assistant\", \"content\": \"r\", \"loss_weight\": 1.0}]}\n",
              &o),
        "[SYSTEM/S]/[USER/AC]/[ASSISTANT/r}");
    const struct lorac_variable sharegpt[] = {{"messages", "conversations"}};
    o.variables = sharegpt;
    o.n_variables = 1;
    assert_string_equal(
        shown(
            "{\"conversations\": [{\"from\": \"system\", \"value\": \"s\"}, {\"from\": \"human\", "
            "\"value\": \"q\"}, {\"from\": \"gpt\", \"value\": \"r\"}]}\n",
            &o),
        "[SYSTEM/S]/[USER/Q]/[ASSISTANT/r}");
}

static void other_rows_are_errors_with_their_line(void **state)
{
    (void)state;
#define MESSAGES(list) "{\"messages\": [" list "]}\n"
    static const struct {
        const char *row, *message;
    } cases[] = {
        {MESSAGES(TURN("user", "q")), "the conversation of 1 messages ends with the user's, "
                                      "expected the assistant's"},
        {MESSAGES(TURN("system", "q")),
         "the conversation of 1 messages ends with the system's, or has none, expected the "
         "assistant's"},
        {MESSAGES(TURN("assistant", "q")),
         "message 1 of 1 is of the assistant, expected the user's: they take turns"},
        {MESSAGES(TURN("user", "q") "," TURN("user", "q")),
         "message 2 of 2 is of the user, expected the assistant's: they take turns"},
        {MESSAGES(TURN("user", "q") "," TURN("system", "q")),
         "message 2 of 2 is of the system, expected the assistant's: they take turns, and the "
         "system speaks first and once"},
        {MESSAGES(TURN("user", "q") "," TURN("assistant", " ")),
         "message 2 of 2 (assistant) is blank, expected text"},
        {MESSAGES(TURN("user", "q") "," TURN("tool", "r")),
         "messages: '[1].role' is 'tool': expected system, developer, user or assistant"},
        {MESSAGES("{\"from\": \"human\", \"value\": \"q\"}, {\"from\": \"bot\", \"value\": \"r\"}"),
         "messages: '[1].from' is 'bot': expected system, human or gpt"},
        {MESSAGES(
             "{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": 1}]}"),
         "messages: '[0].content[0]' is a part of type 'image_url': only text is supported"},
        {MESSAGES("{\"role\": \"user\", \"content\": \"q\", \"tool_calls\": []}"),
         "messages: '[0].tool_calls' is not supported: a message has a role and a content"},
        {MESSAGES("{\"role\": \"user\", \"content\": \"q\", \"loss_weight\": 1}"),
         "messages: '[0].loss_weight' is for messages of the assistant, which alone are trained"},
        {MESSAGES("{\"role\": \"user\", \"content\": \"q\", \"weight\": 0}"),
         "messages: '[0].weight' is for messages of the assistant, which alone are trained"},
        {MESSAGES(
             TURN("user", "q") ",{\"role\": \"assistant\", \"content\": \"r\", \"weight\": 0.5}"),
         "messages: '[1].weight' must be 0 or 1"},
        {MESSAGES(
             TURN("user", "q") ",{\"role\": \"assistant\", \"content\": \"r\", \"weight\": 0}"),
         "a conversation without an answer of the assistant that is trained: its weight is 0"},
        {MESSAGES("{\"role\": \"user\", \"content\": 3}"),
         "messages: '[0].content' must be text, found 3"},
        {"{\"messages\": \"q\"}\n", "messages:1:1: not valid JSON: invalid token near 'q'"},
        {"{\"messages\": []}\n", "messages: holds no message"},
        {"{\"tools\": [1], \"messages\": [" TURN("user", "q") "," TURN("assistant", "r") "]}\n",
         "'tools' is not blank: calls of tools are not supported"},
        {"{\"system\": \"s\", \"messages\": [" TURN("system", "q") "," TURN("user", "q") "," TURN(
             "assistant", "r") "]}\n",
         "the system speaks twice: in its column or template.system, and in the first of the "
         "messages"},
        {"{\"user\": {}, \"assistant\": \"r\"}\n",
         "'user' holds an object, expected text or a number"},
    };
    struct lorac_dataset_options o = plain();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[400];
        const char *got = shown(cases[i].row, &o);
        bool blank = strstr(cases[i].message, "blank, expected") != NULL;
        (void)snprintf(want, sizeof want, "t.jsonl:1: %s (1 such row; ", cases[i].message);
        if (strncmp(got, want, strlen(want)) != 0) { fail_msg("%s, not %s", got, want); }
        assert_true(blank == (strstr(got, "on_empty: skip") != NULL));
    }
    assert_string_equal(shown("{\"text\": \"q\"}\n", &o),
                        "template: chat: no column 'messages' (nor 'user' and 'assistant'); there "
                        "are 'text'; name them, as in data.columns: {messages: conversations} or "
                        "{user: instruction, assistant: output}");
}

/* ---- what is trained ---- */

static void answers_are_trained_all_or_the_last(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    o.train_on = LORAC_TRAIN_LAST;
    assert_string_equal(shown(FOUR, &o), "[USER/Q]/[ASSISTANT/R]/[USER/T]/[ASSISTANT/xy}");
}

/* Two rows in one micro-batch: their targets are the tokens that are trained. */
static void a_batch_scores_what_is_trained(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        struct lorac_dataset_options o = plain();
        struct lorac_loader_options l = {.batch_size = 2, .share_prefix = LORAC_SHARE_ON};
        struct lorac_loader *loader = NULL;
        struct lorac_batch *b = NULL;
        const uint32_t *examples = NULL;
        size_t n = 0;
        struct lorac_example e = {0};
        o.cache = kept ? o.cache : 0;
        struct lorac_table *t =
            parse(FOUR "{\"messages\": [" TURN("user", "q") "," TURN("assistant", "z") "]}\n");
        struct lorac_dataset *d = open_dataset(t, bytes, &o);
        assert_int_equal(lorac_dataset_is_cached(d), kept);
        assert_int_equal(lorac_loader_open(&loader, d, &l, &err), LORAC_OK);
        assert_int_equal(lorac_batch_new(&b, 256, 8, 256, &err), LORAC_OK);
        assert_int_equal(lorac_loader_next(loader, b, &examples, &n, &err), LORAC_OK);
        size_t u = 0;
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(lorac_dataset_example(&e, d, examples[i], &err), LORAC_OK);
            for (size_t k = 1; k < e.ids.n; k++) {
                if (!lorac_example_trains(&e, k)) { continue; }
                expect_scored(b, u++, e.ids.at[k], e.ids.at, k);
            }
        }
        assert_int_equal(b->T, u);
        assert_int_equal(u, lorac_dataset_counts(d)->trained);
        assert_int_equal(u, 2 + 3 + 2);
        lorac_example_free(&e);
        lorac_batch_free(b);
        lorac_loader_close(loader);
        lorac_dataset_close(d);
        lorac_table_close(t);
    }
}

/* The same ids, other answers trained: another digest. */
static void what_is_trained_is_in_the_digest(void **state)
{
    (void)state;
    uint64_t digest[2];
    for (size_t i = 0; i < 2; i++) {
        struct lorac_dataset_options o = plain();
        struct lorac_table *t = parse(FOUR);
        o.train_on = i ? LORAC_TRAIN_LAST : LORAC_TRAIN_ASSISTANT;
        struct lorac_dataset *d = open_dataset(t, bytes, &o);
        digest[i] = lorac_dataset_digest(d);
        lorac_dataset_close(d);
        lorac_table_close(t);
    }
    assert_true(digest[0] != digest[1]);
}

static void long_conversations_lose_their_beginning(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    static const char row[] = "{\"system\": \"s\", \"messages\": [" TURN("user", "q") "," TURN(
        "assistant", "r") "," TURN("user", "long w\xC3\xA9") "," TURN("assistant", "xy") "]}\n";
    const char *all = "[SYSTEM/S]/[USER/Q]/[ASSISTANT/r}/[USER/LONG W\xC3\xA9]/[ASSISTANT/xy}";
    o.max_length = strlen(all);
    assert_string_equal(shown(row, &o), all);
    o.max_length--; // a turn less
    assert_string_equal(shown(row, &o), "[SYSTEM/S]/[USER/LONG W\xC3\xA9]/[ASSISTANT/xy}");
    o.max_length = strlen("[SYSTEM/S]/[USER/LONG W\xC3\xA9]/[ASSISTANT/xy}") - 1;
    assert_string_equal(shown(row, &o), "[SYSTEM/S]/[USER/ONG W\xC3\xA9]/[ASSISTANT/xy}");
    o.max_length = strlen("[SYSTEM/S]/[USER/\xC3\xA9]/[ASSISTANT/xy}");
    assert_string_equal(shown(row, &o), "[SYSTEM/S]/[USER/\xC3\xA9]/[ASSISTANT/xy}");
    o.max_length--; // not one character is left, and the answer is never cut
    assert_string_equal(shown(row, &o),
                        "t.jsonl:1: 64 tokens, 3 of them completion, expected at most max_length "
                        "34 (1 such row; on_too_long: skip leaves them out)");
    o.on_too_long = LORAC_LONG_ERROR;
    o.max_length = strlen(all) - 1;
    assert_non_null(strstr(shown(row, &o), "on_too_long: skip leaves them out"));
}

/* ---- templates ---- */

static struct lorac_chat *chat_of(const char *template)
{
    struct lorac_chat *c = NULL;
    tiny_text("model/chat_template.jinja", template);
    if (lorac_chat_open(&c, tiny_path("model"), bytes, &err)) { fail_msg("%s", err.text); }
    return c;
}

#define WEIGHS(says, weight) \
    "{\"role\": \"assistant\", \"content\": \"" says "\", \"weight\": " weight "}"
#define WEIGHED(first, last)                                                                      \
    "{\"messages\": [" TURN("user", "q") "," WEIGHS("r", first) "," TURN("user", "t") "," WEIGHS( \
        "xy", last) "]}\n"

/* OpenAI's: in a template with marks and in one without. */
static void answers_of_weight_0_are_not_trained(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    struct lorac_chat *plain_form = chat_of(
        "{% for m in messages %}{{ '<s>' + m.role + '\\n' + m.content + '</s>\\n' }}{% endfor %}"
        "{{ '<s>assistant\\n' if add_generation_prompt }}");
    for (int marks = 0; marks < 2; marks++) {
        o.chat = marks ? marked : plain_form;
        o.train_on = LORAC_TRAIN_ASSISTANT;
        assert_string_equal(shown(WEIGHED("1", "0"), &o), "[USER/Q]/[ASSISTANT/r}");
        assert_string_equal(shown(WEIGHED("0", "1.0"), &o),
                            "[USER/Q]/[ASSISTANT/R]/[USER/T]/[ASSISTANT/xy}");
        assert_string_equal(shown(WEIGHED("1", "1"), &o),
                            "[USER/Q]/[ASSISTANT/r}/[USER/T]/[ASSISTANT/xy}");
        assert_non_null(strstr(shown(WEIGHED("0", "0"), &o), "that is trained: its weight is 0"));
        o.train_on = LORAC_TRAIN_LAST;
        assert_string_equal(shown(WEIGHED("0", "1"), &o),
                            "[USER/Q]/[ASSISTANT/R]/[USER/T]/[ASSISTANT/xy}");
        assert_non_null(strstr(shown(WEIGHED("1", "0"), &o), "that is trained: its weight is 0"));
    }
    lorac_chat_free(plain_form);
    plain_form = chat_of("{% for m in messages %}{% if loop.last %}{% generation %}{{ m.content }}"
                         "</s>{% endgeneration %}{% endif %}{% endfor %}");
    o.chat = plain_form;
    assert_non_null(strstr(shown(WEIGHED("0", "1"), &o), "marks 1 answers of 2"));
    lorac_chat_free(plain_form);
}

/* The tokenizer has one token for ": ", as real ones have for a line end and a blank: the answer's
 * blank is its own, as it is behind a prompt. */
static void no_token_lies_across_the_beginning_of_an_answer(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "{% for m in messages %}{{ '<s>' + m.role[0] + ':' + m.content }}{{ '</s>' if m.role == "
        "'assistant' }}{% endfor %}{{ '<s>a:' if add_generation_prompt }}",
        "{% for m in messages %}{{ '<s>' + m.role[0] + ':' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}</s>{% endgeneration %}{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}{{ '<s>a:' if add_generation_prompt }}"};
    static const struct lorac_message said[] = {{"user", " q", false}, {"assistant", " r", false}};
    for (size_t i = 0; i < 2; i++) {
        struct lorac_ids ids = {0};
        struct lorac_ids prompt = {0};
        struct lorac_buf answers = {0};
        struct lorac_chat *c = chat_of(forms[i]);
        assert_int_equal(lorac_chat_answers(&ids, &answers, c, said, 2, false, 0, &err), LORAC_OK);
        assert_int_equal(lorac_chat_encode(&prompt, NULL, c, said, 1, true, 0, &err), LORAC_OK);
        assert_memory_equal(ids.at, prompt.at, prompt.n * sizeof *ids.at);
        assert_int_equal(prompt.at[2], COLON); // of the question it is one
        assert_int_equal(ids.at[prompt.n - 1], ':');
        assert_int_equal(ids.at[prompt.n], ' ');
        for (size_t k = 0; k < ids.n; k++) {
            assert_int_equal(answers.at[k], k >= prompt.n && k < prompt.n + 3);
        }
        lorac_buf_free(&answers);
        lorac_ids_free(&prompt);
        lorac_ids_free(&ids);
        lorac_chat_free(c);
    }
}

static void an_open_answer_ends_with_eos(void **state)
{
    (void)state;
    static const char *const ends[][3] = {
        // the template, with append_eos, without
        {"{% for m in messages %}{{ m.role[0] + ':' + m.content }}{% endfor %}"
         "{{ 'a:' if add_generation_prompt }}",
         "U:QA:r}", "U:QA:r"},
        {"{% for m in messages %}{{ m.role[0] + ':' }}{% generation %}{{ m.content if m.role == "
         "'assistant' }}{% endgeneration %}</s>{% endfor %}",
         "U:]A:r}", "U:]A:r"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct lorac_dataset_options o = plain();
        struct lorac_chat *c = chat_of(ends[i][0]);
        o.chat = c;
        assert_string_equal(shown("{\"user\": \"q\", \"assistant\": \"r\"}\n", &o), ends[i][1]);
        o.append_eos = false;
        assert_string_equal(shown("{\"user\": \"q\", \"assistant\": \"r\"}\n", &o), ends[i][2]);
        lorac_chat_free(c);
    }
}

static void todays_date_must_be_told(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    struct lorac_chat *c = chat_of("{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}"
                                   "{% generation %}{{ m.content if m.role == 'assistant' }}"
                                   "{% endgeneration %}{% endfor %}</s>");
    o.chat = c;
    const char *row = "{\"user\": \"q\", \"assistant\": \"r\"}\n";
    assert_non_null(strstr(shown(row, &o), "template.date: missing"));
    const struct lorac_conversations_options undated = {.chat = c};
    struct lorac_conversations *talk = (struct lorac_conversations *)&o; // whatever was there
    assert_int_equal(lorac_conversations_open(&talk, &undated, NULL), LORAC_EUSER);
    assert_null(talk);
    o.dated = true;
    o.day = 1772366400; // noon of 2026-03-01 somewhere
    assert_string_equal(shown(row, &o), "2026-03-01r}");
    lorac_chat_free(c);
}

static void prompts_end_where_the_answer_begins(void **state)
{
    (void)state;
    struct lorac_dataset_options o = plain();
    struct lorac_example e = {0};
    struct lorac_ids answer = {0};
    struct lorac_table *t = parse(FOUR);
    struct lorac_dataset *d = open_dataset(t, bytes, &o);
    assert_int_equal(lorac_dataset_prompt(&e, d, 0, 4, &err), LORAC_OK);
    assert_int_equal(lorac_dataset_answer(&answer, d, e.values, &err), LORAC_OK);
    assert_int_equal(answer.n, 3); // x y </s>
    size_t prompt = e.ids.n;
    assert_int_equal(lorac_dataset_example(&e, d, 0, &err), LORAC_OK);
    assert_int_equal(e.ids.n, prompt + answer.n);
    assert_memory_equal(e.ids.at + prompt, answer.at, answer.n * sizeof *answer.at);
    lorac_ids_free(&answer);
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    long n = 0;
    for (bool met = true; met; n += n < 60 ? 1 : 7) {
        struct lorac_dataset_options o = plain();
        struct lorac_table *t = parse(FOUR);
        struct lorac_dataset *d = NULL;
        struct lorac_example e = {0};
        o.max_length = 40;             // a turn goes
        o.label_variable = "messages"; // there, so that no hint is made
        o.cache = 0;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_dataset_open(&d, t, bytes, &o, &err);
        if (!st) { st = lorac_dataset_example(&e, d, 0, &err); }
        if (!st) { st = lorac_dataset_prompt(&e, d, 0, 4, &err); }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_example_free(&e);
        lorac_dataset_close(d);
        lorac_table_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_mask_are_those_of_transformers),
        cmocka_unit_test(turns_come_from_columns),
        cmocka_unit_test(conversations_come_as_others_write_them),
        cmocka_unit_test(other_rows_are_errors_with_their_line),
        cmocka_unit_test(answers_are_trained_all_or_the_last),
        cmocka_unit_test(answers_of_weight_0_are_not_trained),
        cmocka_unit_test(a_batch_scores_what_is_trained),
        cmocka_unit_test(what_is_trained_is_in_the_digest),
        cmocka_unit_test(long_conversations_lose_their_beginning),
        cmocka_unit_test(no_token_lies_across_the_beginning_of_an_answer),
        cmocka_unit_test(an_open_answer_ends_with_eos),
        cmocka_unit_test(todays_date_must_be_told),
        cmocka_unit_test(prompts_end_where_the_answer_begins),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
