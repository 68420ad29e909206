/*
 * commands: what each command of kyneta-storectl does. All of them return the exit status, and have told on stderr why
 * it is not CTL_OK.
 */
#ifndef KYNETA_CTL_COMMANDS_H
#define KYNETA_CTL_COMMANDS_H

struct ctl;

/* commands.c: reading */
int command_ping(struct ctl *ctl);
int command_stats(struct ctl *ctl);
int command_list(struct ctl *ctl);
int command_meta(struct ctl *ctl);
int command_load(struct ctl *ctl);

/* top.c: the daemon's counters again and again */
int command_top(struct ctl *ctl);

/* write.c: one write to one document */
int command_append(struct ctl *ctl);
int command_replace(struct ctl *ctl);
int command_delete(struct ctl *ctl);

/* replay.c, export.c, import.c: whole files */
int command_replay(struct ctl *ctl);
int command_export(struct ctl *ctl);
int command_import(struct ctl *ctl);

#endif
