/* prompt.c - prompts and conversations as ids, and the routes that show them; see ask.h. */
#include "tools/serve/ask.h"

#include <string.h>

bool prompt_encode(struct lorac_ids *ids, struct service *s, const char *text, size_t n,
                   bool special, const char *param, struct fault *f)
{
    struct lorac_err err = {0};
    struct lorac_text one = {text, n, true};
    unsigned flags = special ? LORAC_ENCODE_BEGINS : LORAC_ENCODE_ALONE;
    if (lorac_encode(ids, s->tokenizer, &one, 1, flags, &err)) {
        return fault_of(f, 400, NULL, param, &err);
    }
    return true;
}

bool prompt_ids(struct lorac_ids *ids, const struct service *s, const json_t *list,
                const char *param, struct fault *f)
{
    struct lorac_err err = {0};
    size_t V = s->model->config.V;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || (size_t)id >= V) {
            return fault_set(f, 400, NULL, param, "%s: token ids are whole numbers from 0 to %zu",
                             param, V - 1);
        }
        if (lorac_ids_add(ids, (int32_t)id, &err)) { return fault_of(f, 400, NULL, param, &err); }
    }
    return true;
}

/* A message's content: a text, null, or text parts, which are joined. */
static bool read_content(struct lorac_buf *b, const json_t *v, struct fault *f)
{
    if (!v || json_is_null(v)) { return true; }
    if (json_is_string(v)) {
        lorac_buf_add(b, json_string_value(v), json_string_length(v));
        return true;
    }
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!type || strcmp(type, "text") != 0 || !json_is_string(text)) {
            return fault_set(
                f, 400, NULL, "messages",
                "a message's parts must be {\"type\": \"text\", \"text\": ...}: images, "
                "audio and files are not read");
        }
        lorac_buf_add(b, json_string_value(text), json_string_length(text));
    }
    if (json_is_array(v)) { return true; }
    return fault_set(f, 400, NULL, "messages", "a message's content must be a text or text parts");
}

static bool read_message(struct lorac_messages *m, const json_t *v, struct fault *f)
{
    const char *role = json_string_value(json_object_get(v, "role"));
    static const char *const roles[] = {"system", "developer", "user", "assistant"};
    bool known = false;
    for (size_t i = 0; i < 4 && role; i++) {
        known = known || strcmp(role, roles[i]) == 0;
    }
    if (!known) {
        return fault_set(f, 400, NULL, "messages",
                         "a message's role must be system, developer, user or assistant, found "
                         "'%.40s'",
                         role ? role : "nothing");
    }
    if (field_asks(v, "tool_calls") || field_asks(v, "function_call")) {
        return fault_set(f, 400, "unsupported_parameter", "messages",
                         "messages with tool calls are not supported by this server");
    }
    struct lorac_buf b = {0};
    struct lorac_err err = {0};
    bool ok = read_content(&b, json_object_get(v, "content"), f);
    if (ok && b.no_memory) { ok = fault_set(f, 500, NULL, NULL, "no memory for a message"); }
    if (ok && lorac_messages_add(m, role, b.at ? b.at : "", b.n, &err)) {
        ok = fault_of(f, 400, NULL, "messages", &err);
    }
    lorac_buf_free(&b);
    return ok;
}

bool prompt_chat(struct lorac_ids *ids, const struct talk *talk, const json_t *root,
                 struct fault *f)
{
    const json_t *list = json_object_get(root, "messages");
    struct lorac_messages m = {0};
    struct lorac_err err = {0};
    bool answer = true;
    bool ok = true;
    if (!talk->form.chat) { return fault_set(f, 400, NULL, "messages", "%s", talk->why); }
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return fault_set(f, 400, NULL, "messages",
                         "messages must be a list of one message at least");
    }
    ok = field_bool(&answer, root, "add_generation_prompt", f);
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        ok = read_message(&m, json_array_get(list, i), f);
    }
    if (ok && form_encode(ids, &talk->form, &m, answer, &err)) {
        ok = fault_of(f, 400, NULL, "messages", &err);
    }
    lorac_messages_free(&m);
    return ok;
}

/* ---- tokens ---- */

static void write_ids(struct lorac_buf *out, const struct service *s, const struct lorac_ids *ids,
                      bool strings)
{
    lorac_buf_printf(out, "{\"count\":%zu,\"max_model_len\":%zu,\"tokens\":[", ids->n,
                     engine_length(s->engine));
    for (size_t i = 0; i < ids->n; i++) {
        lorac_buf_printf(out, "%s%d", i ? "," : "", ids->at[i]);
    }
    lorac_buf_str(out, "],\"token_strs\":");
    lorac_buf_str(out, strings ? "[" : "null");
    for (size_t i = 0; i < ids->n && strings; i++) {
        const char *text = lorac_token_text(s->tokenizer, ids->at[i]);
        lorac_buf_str(out, i ? "," : "");
        lorac_buf_json(out, text ? text : "", text ? strlen(text) : 0);
    }
    lorac_buf_str(out, strings ? "]}" : "}");
}

bool ask_tokenize(struct lorac_buf *out, struct service *s, const char *body, size_t n,
                  struct fault *f)
{
    struct lorac_ids ids = {0};
    struct resident *who = NULL; // of a chat; others are the same with all
    const char *text = NULL;
    const char *model = s->name;
    bool special = true;
    bool strings = false;
    json_t *root = field_root(body, n, f);
    if (!root) { return false; }
    bool chat = json_object_get(root, "messages") != NULL;
    bool ok = field_bool(&special, root, "add_special_tokens", f) &&
              field_bool(&strings, root, "return_token_strs", f) &&
              field_text(&model, root, "model", false, f) && ask_who(&who, s, model, f);
    if (ok && chat) { ok = prompt_chat(&ids, ask_talk(s, who), root, f); }
    if (ok && !chat) {
        ok = field_text(&text, root, "prompt", true, f) &&
             prompt_encode(&ids, s, text, strlen(text), special, "prompt", f);
    }
    if (ok) { write_ids(out, s, &ids, strings); }
    adapters_release(&s->adapters, who);
    lorac_ids_free(&ids);
    json_decref(root);
    return ok;
}

bool ask_detokenize(struct lorac_buf *out, struct service *s, const char *body, size_t n,
                    struct fault *f)
{
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    struct lorac_err err = {0};
    json_t *root = field_root(body, n, f);
    if (!root) { return false; }
    const json_t *list = json_object_get(root, "tokens");
    bool ok = json_is_array(list) ? prompt_ids(&ids, s, list, "tokens", f)
                                  : fault_set(f, 400, NULL, "tokens", "tokens must be a list");
    if (ok && lorac_decode(&text, s->tokenizer, ids.at, ids.n, false, &err)) {
        ok = fault_of(f, 400, NULL, "tokens", &err);
    }
    if (ok) {
        lorac_buf_str(out, "{\"prompt\":");
        lorac_buf_json(out, text.at ? text.at : "", text.n);
        lorac_buf_str(out, "}");
    }
    lorac_buf_free(&text);
    lorac_ids_free(&ids);
    json_decref(root);
    return ok;
}
