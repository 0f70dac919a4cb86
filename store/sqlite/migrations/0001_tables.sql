-- Tables of bursar. Times are microseconds since 1970; a time that is not set is NULL, a text that is not set is empty.
-- Amounts are base units of their asset.

-- One row for each request for money.
CREATE TABLE bursar_payments (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    "status" TEXT NOT NULL,
    livemode INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    asset TEXT,
    amount TEXT NOT NULL CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*'),
    required TEXT NOT NULL CHECK (required <> '' AND required NOT GLOB '*[^0-9]*'),
    received TEXT NOT NULL CHECK (received <> '' AND received NOT GLOB '*[^0-9]*'),
    confirmed TEXT NOT NULL CHECK (confirmed <> '' AND confirmed NOT GLOB '*[^0-9]*'),
    shortfall TEXT NOT NULL CHECK (shortfall <> '' AND shortfall NOT GLOB '*[^0-9]*'),
    excess TEXT NOT NULL CHECK (excess <> '' AND excess NOT GLOB '*[^0-9]*'),
    held TEXT NOT NULL CHECK (held <> '' AND held NOT GLOB '*[^0-9]*'),
    refunded TEXT NOT NULL CHECK (refunded <> '' AND refunded NOT GLOB '*[^0-9]*'),
    refunding TEXT NOT NULL CHECK (refunding <> '' AND refunding NOT GLOB '*[^0-9]*'),
    required_confirmations INTEGER NOT NULL,
    confirmations INTEGER NOT NULL,
    "block" INTEGER NOT NULL,
    is_final INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    address TEXT NOT NULL,
    address_id TEXT NOT NULL,
    uri TEXT NOT NULL,
    metadata TEXT,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    customer TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    previous TEXT NOT NULL,
    "next" TEXT NOT NULL,
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
    accept_keys TEXT,
    failure_reason TEXT NOT NULL,
    confirmation_no INTEGER NOT NULL,
    settle_no INTEGER NOT NULL,
    policy TEXT,
    ttl INTEGER NOT NULL,
    hold_until INTEGER,
    deadline INTEGER,
    posted_paid TEXT NOT NULL CHECK (posted_paid <> '' AND posted_paid NOT GLOB '*[^0-9]*'),
    posted_excess TEXT NOT NULL CHECK (posted_excess <> '' AND posted_excess NOT GLOB '*[^0-9]*'),
    reported_excess TEXT NOT NULL CHECK (reported_excess <> '' AND reported_excess NOT GLOB '*[^0-9]*'),
    sweep_fee TEXT NOT NULL CHECK (sweep_fee <> '' AND sweep_fee NOT GLOB '*[^0-9]*'),
    seq INTEGER NOT NULL,
    created_at INTEGER,
    expires_at INTEGER,
    seen_at INTEGER,
    detected_at INTEGER,
    confirmed_at INTEGER,
    settled_at INTEGER,
    expired_at INTEGER,
    canceled_at INTEGER,
    asset_id TEXT NOT NULL,
    chain TEXT NOT NULL
);

-- One row for each transfer identity: a movement of one asset inside one on-chain transaction.
CREATE TABLE bursar_transactions (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    chain TEXT NOT NULL,
    tx_hash TEXT NOT NULL,
    tx_ordinal TEXT NOT NULL,
    "type" TEXT NOT NULL,
    purpose TEXT NOT NULL,
    via TEXT NOT NULL,
    "status" TEXT NOT NULL,
    failure_reason TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount TEXT NOT NULL CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*'),
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    address_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    payout_id TEXT NOT NULL,
    fee TEXT NOT NULL CHECK (fee <> '' AND fee NOT GLOB '*[^0-9]*'),
    gas_used INTEGER NOT NULL,
    gas_price TEXT NOT NULL CHECK (gas_price <> '' AND gas_price NOT GLOB '*[^0-9]*'),
    tx_lock TEXT NOT NULL,
    "block" INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    block_time INTEGER,
    tx_index INTEGER NOT NULL,
    required INTEGER NOT NULL,
    confirm_at INTEGER NOT NULL,
    is_final INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    inclusion INTEGER NOT NULL,
    counting INTEGER NOT NULL CHECK (counting IN (0, 1)),
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    suspense INTEGER NOT NULL CHECK (suspense IN (0, 1)),
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
    discharged TEXT NOT NULL CHECK (discharged <> '' AND discharged NOT GLOB '*[^0-9]*'),
    reserved TEXT NOT NULL CHECK (reserved <> '' AND reserved NOT GLOB '*[^0-9]*'),
    missed INTEGER NOT NULL,
    created_at INTEGER,
    seen_at INTEGER,
    confirmed_at INTEGER,
    sweepable INTEGER NOT NULL CHECK (sweepable IN (0, 1)),
    UNIQUE (chain, tx_hash, tx_ordinal)
);

-- Every address that was ever issued. They stay watched for ever.
CREATE TABLE bursar_addresses (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    address TEXT NOT NULL,
    pool TEXT NOT NULL,
    address_index INTEGER NOT NULL,
    key_wallet TEXT NOT NULL,
    key_path TEXT NOT NULL,
    role TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    metadata TEXT,
    tokens_only INTEGER NOT NULL CHECK (tokens_only IN (0, 1)),
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    seq INTEGER NOT NULL,
    created_at INTEGER
);

-- Outgoing movements.
CREATE TABLE bursar_payouts (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    "key" TEXT NOT NULL,
    kind TEXT NOT NULL,
    "status" TEXT NOT NULL,
    chain TEXT NOT NULL,
    asset TEXT,
    from_account TEXT,
    to_address TEXT NOT NULL,
    own_key TEXT,
    sources TEXT,
    amount TEXT NOT NULL CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*'),
    less_fee INTEGER NOT NULL CHECK (less_fee IN (0, 1)),
    moved TEXT NOT NULL CHECK (moved <> '' AND moved NOT GLOB '*[^0-9]*'),
    max_fee TEXT NOT NULL CHECK (max_fee <> '' AND max_fee NOT GLOB '*[^0-9]*'),
    items TEXT,
    parent TEXT NOT NULL,
    approval TEXT,
    attempt_group INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    urged INTEGER NOT NULL,
    canceling INTEGER NOT NULL CHECK (canceling IN (0, 1)),
    tx_id TEXT NOT NULL,
    "block" INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    tx_index INTEGER NOT NULL,
    fee TEXT NOT NULL CHECK (fee <> '' AND fee NOT GLOB '*[^0-9]*'),
    gas_used INTEGER NOT NULL,
    gas_price TEXT NOT NULL CHECK (gas_price <> '' AND gas_price NOT GLOB '*[^0-9]*'),
    failure_code TEXT NOT NULL,
    failure_reason TEXT NOT NULL,
    not_before INTEGER,
    failures INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    created_at INTEGER,
    sent_at INTEGER,
    included_at INTEGER,
    confirmed_at INTEGER,
    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1))
);

-- Signed transactions of payouts, written before they are first broadcast.
CREATE TABLE bursar_attempts (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    payout_id TEXT NOT NULL,
    attempt_group INTEGER NOT NULL,
    chain TEXT NOT NULL,
    tx_id TEXT NOT NULL,
    "raw" BLOB NOT NULL,
    "locks" TEXT,
    max_fee TEXT NOT NULL CHECK (max_fee <> '' AND max_fee NOT GLOB '*[^0-9]*'),
    cancels INTEGER NOT NULL CHECK (cancels IN (0, 1)),
    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    last_error TEXT NOT NULL,
    created_at INTEGER,
    sent_at INTEGER
);

-- The ledger: double entry, append-only. Only reversed_by is ever set, once.
CREATE TABLE bursar_entries (
    pos INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    "rule" TEXT NOT NULL,
    asset TEXT NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount TEXT NOT NULL CHECK (amount <> '' AND amount NOT GLOB '*[^0-9]*' AND amount <> '0'),
    subject TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    height INTEGER NOT NULL,
    reverses TEXT NOT NULL,
    live_key TEXT NOT NULL,
    posted_at INTEGER,
    reversed_by TEXT NOT NULL DEFAULT '',
    CHECK (debit_account <> credit_account)
);

-- What was told, a gapless sequence for each subject.
CREATE TABLE bursar_events (
    pos INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    occurred_at INTEGER,
    livemode INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    "data" TEXT,
    UNIQUE (subject, seq)
);

-- The outbox: each event on its way to each notifier.
CREATE TABLE bursar_deliveries (
    event_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    "version" INTEGER NOT NULL CHECK (version > 0),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER,
    leased_until INTEGER,
    first_at INTEGER,
    last_at INTEGER,
    done_at INTEGER,
    last_error TEXT NOT NULL,
    created_at INTEGER,
    tries TEXT NOT NULL,
    PRIMARY KEY (event_id, endpoint)
);

-- The cursor of each chain and what hangs on it.
CREATE TABLE bursar_chains (
    chain TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    recent TEXT,
    head TEXT,
    final_height INTEGER NOT NULL,
    genesis TEXT NOT NULL,
    halted TEXT NOT NULL,
    halted_at INTEGER,
    halted_from INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    assets TEXT,
    started_at INTEGER,
    updated_at INTEGER
);

-- Where events go, as decided at run time; what a row says is sealed.
CREATE TABLE bursar_endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    "version" INTEGER NOT NULL CHECK (version > 0),
    revision INTEGER NOT NULL UNIQUE CHECK (revision > 0),
    "status" TEXT NOT NULL,
    sealed BLOB,
    created_at INTEGER,
    updated_at INTEGER
);

-- The first derivation index never handed out, of each index pool.
CREATE TABLE bursar_pools (
    name TEXT NOT NULL PRIMARY KEY,
    "next" INTEGER NOT NULL CHECK (next BETWEEN 0 AND 2147483648)
);

-- The locks of every attempt, to search by.
CREATE TABLE bursar_attempt_locks (
    attempt_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    "lock" TEXT NOT NULL,
    PRIMARY KEY (attempt_id, chain, "lock")
);

-- The locks of open attempts, each held by one attempt group: nobody else can
-- sign what would spend the same.
CREATE TABLE bursar_locks (
    chain TEXT NOT NULL,
    "lock" TEXT NOT NULL,
    payout_id TEXT NOT NULL,
    attempt_group INTEGER NOT NULL,
    PRIMARY KEY (chain, "lock")
);

-- The running sums of the ledger: debits less credits of each account.
CREATE TABLE bursar_balances (
    asset TEXT NOT NULL,
    account TEXT NOT NULL,
    "sum" TEXT NOT NULL,
    PRIMARY KEY (asset, account)
);

-- Who holds which work. Epochs only rise.
CREATE TABLE bursar_leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL CHECK (epoch > 0),
    until INTEGER NOT NULL
);

-- What the database knows of itself.
CREATE TABLE bursar_facts (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The metadata of payments, one row for each pair, to search by.
CREATE TABLE bursar_payment_metadata (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    PRIMARY KEY (name, value, payment_id)
) WITHOUT ROWID;

CREATE TRIGGER bursar_payment_metadata_added AFTER INSERT ON bursar_payments WHEN new.metadata IS NOT NULL BEGIN
    INSERT INTO bursar_payment_metadata SELECT key, value, new.id FROM json_each(new.metadata);
END;

CREATE TRIGGER bursar_payment_metadata_changed AFTER UPDATE OF metadata ON bursar_payments WHEN new.metadata IS NOT old.metadata BEGIN
    DELETE FROM bursar_payment_metadata WHERE payment_id = new.id
        AND (name, value) IN (SELECT key, value FROM json_each(coalesce(old.metadata, '{}')));
    INSERT INTO bursar_payment_metadata SELECT key, value, new.id FROM json_each(coalesce(new.metadata, '{}'));
END;

-- What must be unique. An empty text is no value.
CREATE UNIQUE INDEX bursar_payments_idempotency_key ON bursar_payments (idempotency_key) WHERE idempotency_key <> '';
CREATE UNIQUE INDEX bursar_payments_address ON bursar_payments (address) WHERE address <> '';
CREATE UNIQUE INDEX bursar_addresses_address ON bursar_addresses (address) WHERE address <> '';
CREATE UNIQUE INDEX bursar_addresses_idempotency_key ON bursar_addresses (idempotency_key) WHERE idempotency_key <> '';
CREATE UNIQUE INDEX bursar_payouts_key ON bursar_payouts ("key") WHERE "key" <> '';
-- At most one unreversed credit for each transfer identity.
CREATE UNIQUE INDEX bursar_entries_live ON bursar_entries (live_key) WHERE live_key <> '' AND reverses = '' AND reversed_by = '';

-- What queries search by; lists are read in the order of their index.
CREATE INDEX bursar_payments_created ON bursar_payments (created_at, id);
CREATE INDEX bursar_payments_status ON bursar_payments ("status", created_at, id);
CREATE INDEX bursar_payments_asset ON bursar_payments (asset_id, created_at, id);
CREATE INDEX bursar_payments_customer ON bursar_payments (customer, created_at, id) WHERE customer <> '';
CREATE INDEX bursar_payments_due ON bursar_payments (chain, deadline, id) WHERE deadline IS NOT NULL;
CREATE INDEX bursar_transactions_created ON bursar_transactions (created_at, id);
CREATE INDEX bursar_transactions_chain ON bursar_transactions (chain, created_at, id);
CREATE INDEX bursar_transactions_status ON bursar_transactions ("status", created_at, id);
CREATE INDEX bursar_transactions_type ON bursar_transactions ("type", created_at, id);
CREATE INDEX bursar_transactions_asset ON bursar_transactions (asset, created_at, id);
CREATE INDEX bursar_transactions_hash ON bursar_transactions (tx_hash);
CREATE INDEX bursar_transactions_payment_id ON bursar_transactions (payment_id, created_at, id) WHERE payment_id <> '';
CREATE INDEX bursar_transactions_address_id ON bursar_transactions (address_id, created_at, id) WHERE address_id <> '';
CREATE INDEX bursar_transactions_payout_id ON bursar_transactions (payout_id, created_at, id) WHERE payout_id <> '';
CREATE INDEX bursar_transactions_from_address ON bursar_transactions (from_address, created_at, id) WHERE from_address <> '';
CREATE INDEX bursar_transactions_to_address ON bursar_transactions (to_address, created_at, id) WHERE to_address <> '';
CREATE INDEX bursar_transactions_block ON bursar_transactions (block_hash) WHERE "status" IN ('confirming', 'confirmed');
CREATE INDEX bursar_transactions_confirm ON bursar_transactions (chain, confirm_at) WHERE "status" = 'confirming';
CREATE INDEX bursar_transactions_final ON bursar_transactions (chain, "block") WHERE "status" = 'confirmed' AND NOT is_final;
CREATE INDEX bursar_transactions_sweepable ON bursar_transactions (chain, created_at, id) WHERE sweepable;
CREATE INDEX bursar_addresses_pool ON bursar_addresses (pool, address_index, id);
CREATE INDEX bursar_addresses_customer ON bursar_addresses (customer, pool, address_index, id) WHERE customer <> '';
CREATE INDEX bursar_addresses_role ON bursar_addresses ("role", pool, address_index, id) WHERE "role" <> 'payment';
CREATE INDEX bursar_payouts_created ON bursar_payouts (created_at, id);
CREATE INDEX bursar_payouts_status ON bursar_payouts ("status", created_at, id);
CREATE INDEX bursar_payouts_open ON bursar_payouts (chain, created_at, id) WHERE is_open;
CREATE INDEX bursar_payouts_tx ON bursar_payouts (tx_id) WHERE tx_id <> '';
CREATE INDEX bursar_payouts_block ON bursar_payouts (block_hash) WHERE block_hash <> '';
CREATE INDEX bursar_payouts_parent ON bursar_payouts (parent) WHERE parent <> '';
CREATE INDEX bursar_attempts_payout ON bursar_attempts (payout_id, created_at, id);
CREATE INDEX bursar_attempts_tx ON bursar_attempts (tx_id);
CREATE INDEX bursar_attempts_open ON bursar_attempts (chain, created_at, id) WHERE is_open;
CREATE INDEX bursar_attempt_locks_lock ON bursar_attempt_locks ("lock", chain);
CREATE INDEX bursar_entries_subject ON bursar_entries (subject, pos);
CREATE INDEX bursar_entries_transaction ON bursar_entries (transaction_id, pos) WHERE transaction_id <> '';
CREATE INDEX bursar_entries_asset ON bursar_entries (asset, pos);
CREATE INDEX bursar_balances_account ON bursar_balances (account);
CREATE INDEX bursar_deliveries_due ON bursar_deliveries (endpoint, next_at, subject, seq, event_id) WHERE "status" IN ('pending', 'parked');
CREATE INDEX bursar_deliveries_lane ON bursar_deliveries (endpoint, subject, seq, event_id) WHERE "status" = 'pending';
CREATE INDEX bursar_deliveries_status ON bursar_deliveries ("status", created_at);
CREATE INDEX bursar_deliveries_done ON bursar_deliveries (done_at) WHERE done_at IS NOT NULL;

-- The ledger and the events are never changed, whoever tries.
CREATE TRIGGER bursar_entries_immutable BEFORE UPDATE OF pos, id, rule, asset, debit_account, credit_account, amount, subject,
    transaction_id, chain, height, reverses, live_key, posted_at ON bursar_entries BEGIN
    SELECT RAISE(ABORT, 'rows of bursar_entries are never changed');
END;
CREATE TRIGGER bursar_entries_reversed_once BEFORE UPDATE OF reversed_by ON bursar_entries WHEN old.reversed_by <> '' BEGIN
    SELECT RAISE(ABORT, 'an entry is reversed once');
END;
CREATE TRIGGER bursar_entries_kept BEFORE DELETE ON bursar_entries BEGIN
    SELECT RAISE(ABORT, 'rows of bursar_entries are never deleted');
END;
CREATE TRIGGER bursar_events_immutable BEFORE UPDATE ON bursar_events BEGIN
    SELECT RAISE(ABORT, 'rows of bursar_events are never changed');
END;
CREATE TRIGGER bursar_events_kept BEFORE DELETE ON bursar_events BEGIN
    SELECT RAISE(ABORT, 'rows of bursar_events are never deleted');
END;

