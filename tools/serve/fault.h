/* fault.h - why a request is refused, as OpenAI's clients read it:
 *
 *   {"error": {"message": "...", "type": "invalid_request_error", "param": "n", "code": null}}
 */
#ifndef LORAC_TOOLS_SERVE_FAULT_H
#define LORAC_TOOLS_SERVE_FAULT_H

#include <lorac/base.h>

struct fault {
    int status;       // of HTTP; 0: none
    const char *code; // a word for programs, or NULL
    char param[64];   // the field; "": none
    bool final;       // asking again does not help, though the status sounds as if
    char text[1024];
};

/* Always false: `return fault_set(...)`. */
bool fault_set(struct fault *f, int status, const char *code, const char *param, const char *fmt,
               ...) LORAC_PRINTF(5, 6);
/* What the library says; its EUSER and EFORMAT are the request's fault (`status`). */
bool fault_of(struct fault *f, int status, const char *code, const char *param,
              const struct lorac_err *err);
bool fault_ending(struct fault *f);                           // 503
void fault_write(struct lorac_buf *b, const struct fault *f); // the JSON above

#endif
