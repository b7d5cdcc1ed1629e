/*
 * Conversations as a model's chat template writes them. What is promised:
 *   - ids are those of the template's text, nothing put around it; special tokens are those of the
 *     template, in what somebody typed they are text;
 *   - the tokens that the template may name are those of the folder's files, and one that there is
 *     not is undefined;
 *   - the assistant's tokens are found, of all turns or of the last, by generation blocks and
 *     without them alike; where a template writes a turn otherwise than it asks for it, or
 *     otherwise once more follows, that is an error;
 *   - a conversation in JSON has roles and texts; tools, parts and other roles are refused by name;
 *   - want of memory is told.
 */
#include "base/chat.h"
#include "base/core/file.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TURN "{{ '<s>' + m.role[0] + ':' + m.content }}"
#define PLAIN                                                                             \
    "{% for m in messages %}" TURN "{{ '</s>\\n' if m.role == 'assistant' }}{% endfor %}" \
    "{{ '<s>a:' if add_generation_prompt }}"
#define BLOCKS                                                                                  \
    "{% for m in messages %}{% if m.role == 'assistant' %}<s>a:{% generation %}{{ m.content }}" \
    "</s>{% endgeneration %}{{ '\\n' }}{% else %}" TURN "{% endif %}{% endfor %}"               \
    "{{ '<s>a:' if add_generation_prompt }}"

static struct lorac_err err;
static struct lorac_tokenizer *tokenizer;

static int make_folder(void **state)
{
    if (tiny_model(state)) { return 1; }
    return lorac_tokenizer_open(&tokenizer, tiny_path("model"), NULL) != LORAC_OK;
}

static int remove_folder(void **state)
{
    lorac_tokenizer_free(tokenizer);
    return tiny_remove(state);
}

static struct lorac_chat *open_chat(const char *template)
{
    struct lorac_chat *c = NULL;
    tiny_text("model/chat_template.jinja", template);
    if (lorac_chat_open(&c, tiny_path("model"), tokenizer, &err)) { fail_msg("%s", err.text); }
    return c;
}

static const struct lorac_message four[] = {{"user", "q", false},
                                            {"assistant", "r", false},
                                            {"user", "</s>", false},
                                            {"assistant", "xy", false}};

/* Ids as text: bytes, [ for <s> and ] for </s>; those that are not the answer's as capitals. */
static const char *shown(const struct lorac_ids *ids, const struct lorac_buf *answers)
{
    static char text[256];
    assert_in_range(ids->n, 1, sizeof text - 1);
    for (size_t i = 0; i < ids->n; i++) {
        int32_t id = ids->at[i];
        text[i] = (char)(id == 256 ? '[' : id == 257 ? ']' : id);
        if (answers && !answers->at[i] && text[i] >= 'a' && text[i] <= 'z') { text[i] -= 32; }
        if (answers && answers->at[i] && id == 257) { text[i] = '}'; }
    }
    text[ids->n] = '\0';
    return text;
}

static const char *encoded(const char *template, size_t n, bool answer)
{
    struct lorac_ids ids = {0};
    struct lorac_chat *c = open_chat(template);
    enum lorac_status st = lorac_chat_encode(&ids, NULL, c, four, n, answer, 0, &err);
    const char *text = st ? err.text : shown(&ids, NULL);
    lorac_ids_free(&ids);
    lorac_chat_free(c);
    return text;
}

static void special_tokens_are_the_templates_alone(void **state)
{
    (void)state;
    assert_string_equal(encoded(PLAIN, 3, true), "[u:q[a:r]\n[u:</s>[a:");
    assert_string_equal(encoded(PLAIN, 4, false), "[u:q[a:r]\n[u:</s>[a:xy]\n");
    // a token whose beginning the template writes and whose end somebody typed is none
    assert_string_equal(encoded("<{{ '/s>' }}{{ '<' + messages[2].content[1:] }}", 3, false),
                        "]</s>");
}

static void tokens_have_the_names_of_the_folder(void **state)
{
    (void)state;
    assert_string_equal(
        encoded("{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}", 1, false), "[]False");
}

static const char *answers_of(const char *template, bool last)
{
    struct lorac_ids ids = {0};
    struct lorac_buf answers = {0};
    struct lorac_chat *c = open_chat(template);
    enum lorac_status st = lorac_chat_answers(&ids, &answers, c, four, 4, last, 0, &err);
    const char *text = st ? err.text : shown(&ids, &answers);
    assert_int_equal(ids.n, answers.n);
    lorac_ids_free(&ids);
    lorac_buf_free(&answers);
    lorac_chat_free(c);
    return text;
}

static void answers_are_found(void **state)
{
    (void)state;
    const char *const all = "[U:Q[A:r}\n[U:</S>[A:xy}\n";
    const char *const last = "[U:Q[A:R]\n[U:</S>[A:xy}\n";
    assert_string_equal(answers_of(PLAIN, false), all);
    assert_string_equal(answers_of(BLOCKS, false), all);
    assert_string_equal(answers_of(PLAIN, true), last);
    assert_string_equal(answers_of(BLOCKS, true), last);
}

static void answers_that_cannot_be_told_are_errors(void **state)
{
    (void)state;
    assert_string_equal(answers_of("{% for m in messages %}" TURN "{% endfor %}"
                                   "{{ '<s>A:' if add_generation_prompt }}",
                                   true),
                        "message 4: the chat template asks for this answer otherwise than it "
                        "writes it, so that its first token cannot be told");
    const char *const closed = "{% for m in messages %}" TURN
                               "{{ '</s>' if loop.last and m.role == 'assistant' }}{% endfor %}"
                               "{{ '<s>a:' if add_generation_prompt }}";
    assert_string_equal(answers_of(closed, false),
                        "message 2 of 4: the chat template writes this answer otherwise where more "
                        "follows: only the last answer of a conversation can be taken");
    assert_string_equal(answers_of(closed, true), "[U:Q[A:R[U:</S>[A:xy}");
    struct lorac_ids ids = {0};
    struct lorac_buf answers = {0};
    struct lorac_chat *c = open_chat(PLAIN);
    assert_int_equal(lorac_chat_answers(&ids, &answers, c, four, 1, false, 0, &err), LORAC_EUSER);
    assert_string_equal(err.text, "a conversation without an answer of the assistant");
    lorac_chat_free(c);
}

static void what_the_template_refuses_is_told(void **state)
{
    (void)state;
    assert_non_null(
        strstr(encoded("\n{{ raise_exception('Roles must alternate') }}", 1, false),
               "model/chat_template.jinja:2:4: the template refuses: Roles must alternate"));
}

static void a_folder_without_template_says_so(void **state)
{
    (void)state;
    struct lorac_chat *c = NULL;
    assert_int_equal(lorac_file_remove(tiny_path("model/chat_template.jinja"), NULL), LORAC_OK);
    assert_int_equal(lorac_chat_open(&c, tiny_path("model"), tokenizer, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "model: brings no chat template (chat_template.jinja, or"));
    assert_null(c);
}

static void messages_are_read_from_json(void **state)
{
    (void)state;
    const struct {
        const char *json, *says; // with ' for "
    } cases[] = {
        {"[{'role': 'user', 'content': 'a'}]", NULL},
        {"{'messages': [{'role': 'user', 'content': 'a', 'name': null}]}", NULL},
        {"{'role': 'user'}", "chat.json: expected a list of messages, [{\"role\": "},
        {"[]", "chat.json: holds no message"},
        {"[3]", "chat.json: '[0]' must be a message, found 3"},
        {"[{'role': 'user'}]", "chat.json: '[0].content' "},
        {"[{'role': 'tool', 'content': 'a'}]",
         "chat.json: '[0].role' is 'tool': expected system, developer, user or assistant"},
        {"[{'role': 'user', 'content': 'a', 'tool_calls': []}]",
         "chat.json: '[0].tool_calls' is not supported: a message has a role and a content"},
        {"[{'from': 'human', 'value': [{'type': 'text', 'text': 'a'}]}]", NULL},
        {"[{'role': 'user', 'content': [{'type': 'text'}]}]",
         "chat.json: '[0].content[0].value' is missing, text was expected"},
        {"[{'role': 'user', 'content': [{'type': 'image', 'text': 'a'}]}]",
         "chat.json: '[0].content[0]' is a part of type 'image': only text is supported"},
        {"[{'role': 'user', 'content': [{'type': 'text', 'text': 'a', 'cache': 1}]}]",
         "chat.json: '[0].content[0]' holds more than its type and text"},
        {"[{'from': 'bot', 'value': 'a'}]",
         "chat.json: '[0].from' is 'bot': expected system, human or gpt"},
        {"{'messages': [{'role': 'user', 'content': 'a'}], 'tools': []}",
         "chat.json: only \"messages\" is read: other members (tools, ...) are not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_messages m = {0};
        char json[200];
        size_t n = strlen(cases[i].json);
        for (size_t k = 0; k <= n; k++) {
            json[k] = cases[i].json[k] == '\'' ? '"' : cases[i].json[k];
        }
        enum lorac_status st = lorac_messages_read(&m, json, n, "chat.json", &err);
        if (!cases[i].says) {
            assert_int_equal(st, LORAC_OK);
            assert_string_equal(m.at[0].content, "a");
        } else if (!st || strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0) {
            fail_msg("%s: %s", json, st ? err.text : "taken");
        }
        lorac_messages_free(&m);
    }
}

static void a_message_with_a_nul_is_refused(void **state)
{
    (void)state;
    struct lorac_messages m = {0};
    assert_int_equal(lorac_messages_add(&m, "user", "a\0b", 3, &err), LORAC_EUSER);
    assert_int_equal(m.n, 0);
}

static enum lorac_status whole_chat(struct lorac_err *e)
{
    static const char json[] = "[{\"role\": \"user\", \"content\": \"q\"},"
                               " {\"role\": \"assistant\", \"content\": \"r\"}]";
    struct lorac_chat *c = NULL;
    struct lorac_messages m = {0};
    struct lorac_ids ids = {0};
    struct lorac_buf answers = {0};
    enum lorac_status st = lorac_messages_read(&m, json, strlen(json), "chat.json", e);
    if (!st) { st = lorac_chat_open(&c, tiny_path("model"), tokenizer, e); }
    if (!st) { st = lorac_chat_answers(&ids, &answers, c, m.at, m.n, false, 0, e); }
    if (!st) { faults_say("%s", shown(&ids, &answers)); }
    lorac_buf_free(&answers);
    lorac_ids_free(&ids);
    lorac_messages_free(&m);
    lorac_chat_free(c);
    return st;
}

static void a_machine_that_fails_is_met(void **state)
{
    (void)state;
    const struct faults_scenario scenario = {.name = "chat", .go = whole_chat, .step = 7};
    lorac_chat_free(open_chat(BLOCKS));
    faults_meet(&scenario, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_tokens_are_the_templates_alone),
        cmocka_unit_test(tokens_have_the_names_of_the_folder),
        cmocka_unit_test(answers_are_found),
        cmocka_unit_test(answers_that_cannot_be_told_are_errors),
        cmocka_unit_test(what_the_template_refuses_is_told),
        cmocka_unit_test(a_folder_without_template_says_so),
        cmocka_unit_test(messages_are_read_from_json),
        cmocka_unit_test(a_message_with_a_nul_is_refused),
        cmocka_unit_test(a_machine_that_fails_is_met),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
