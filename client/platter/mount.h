/* SPDX-License-Identifier: BSD-2-Clause */
/* mount.nbd and umount.nbd, which mount(8) and umount(8) run for the type nbd: platter under another name. */
#ifndef CLIENT_MOUNT_H
#define CLIENT_MOUNT_H

/* What the program is to do when it is called so; its exit status, one of mount(8)'s.  NULL: it isn't either of them. */
int (*mount_called(const char *program))(int argc, char **argv);

#endif
