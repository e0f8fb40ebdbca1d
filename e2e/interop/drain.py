"""Opens a session, says so, and says how the gate ended it."""

import wire


def main():
    session = wire.Agent("alice").open()
    print("open", flush=True)
    error = session.ended_by()
    print(error.code().name, error.details(), flush=True)


if __name__ == "__main__":
    main()
