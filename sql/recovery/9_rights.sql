-- Nobody but the role that installs them and those it grants them to.
revoke all on function
  socketio._recovery_alive(),
  socketio._recovery_sync(),
  socketio._recovery_state(),
  socketio._recovery_turn(socketio.recovery_state),
  socketio.recovery_begin(double precision),
  socketio.recovery_notify(text, text, text, text, bigint),
  socketio.recovery_notify_all(text[], text[], text[], text, bigint[]),
  socketio.recovery_keep(json),
  socketio.recovery_restore(text, text, bigint, double precision, double precision, integer, text),
  socketio.recovery_pieces(text[], bigint),
  socketio._recovery_commit(),
  socketio.recovery_send(json)
from public;
