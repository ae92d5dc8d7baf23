BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE bandwidth_limit_rules (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	policy_id TEXT NOT NULL, 
	max_kbps BIGINT NOT NULL, 
	max_burst_kbps BIGINT NOT NULL, 
	direction TEXT NOT NULL, 
	CONSTRAINT pk_bandwidth_limit_rules PRIMARY KEY (id), 
	CONSTRAINT fk_bandwidth_limit_rules_policy_id FOREIGN KEY(policy_id) REFERENCES qos_policies (id)
);
INSERT INTO "bandwidth_limit_rules" VALUES('ca4662be-022c-4adb-8dac-802bd248be18','','','',0,'2026-11-21T01:23:32.251472Z','2026-11-21T01:23:32.251472Z','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b',10000,0,'egress');
INSERT INTO "bandwidth_limit_rules" VALUES('11e1ca5f-fe2c-4449-9253-25b0895abb21','','','',0,'2026-11-21T01:23:32.258968Z','2026-11-21T01:23:32.258968Z','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b',10000,0,'ingress');
CREATE TABLE changes (
	revision BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	id TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	CONSTRAINT pk_changes PRIMARY KEY (revision, kind, id, scope)
);
INSERT INTO "changes" VALUES(1,'host','hv2','','');
INSERT INTO "changes" VALUES(2,'host','hv1','','');
INSERT INTO "changes" VALUES(3,'network','3956dbe3-9e5a-4001-b1da-cd103bc2c608','','req-67909f1e-b89c-4703-af79-59bdee313742');
INSERT INTO "changes" VALUES(3,'network','3956dbe3-9e5a-4001-b1da-cd103bc2c608','network:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-67909f1e-b89c-4703-af79-59bdee313742');
INSERT INTO "changes" VALUES(4,'network','0f6bacc6-35b8-4d00-ae23-63e96af2d922','','req-1dee3c3f-5ab8-4c0a-b5c9-2be1baa8cee4');
INSERT INTO "changes" VALUES(4,'network','0f6bacc6-35b8-4d00-ae23-63e96af2d922','network:0f6bacc6-35b8-4d00-ae23-63e96af2d922','req-1dee3c3f-5ab8-4c0a-b5c9-2be1baa8cee4');
INSERT INTO "changes" VALUES(5,'network','d66653f6-e436-4458-8ea3-9f590efa4ef3','','req-9b43dc37-fb91-472b-9628-983e5f84d698');
INSERT INTO "changes" VALUES(5,'network','d66653f6-e436-4458-8ea3-9f590efa4ef3','network:d66653f6-e436-4458-8ea3-9f590efa4ef3','req-9b43dc37-fb91-472b-9628-983e5f84d698');
INSERT INTO "changes" VALUES(6,'network','9c05aad7-e95a-450d-94d1-ed6b873121f3','','req-02037228-6ceb-46a6-a203-e98a8cd0fcff');
INSERT INTO "changes" VALUES(6,'network','9c05aad7-e95a-450d-94d1-ed6b873121f3','network:9c05aad7-e95a-450d-94d1-ed6b873121f3','req-02037228-6ceb-46a6-a203-e98a8cd0fcff');
INSERT INTO "changes" VALUES(7,'network','3956dbe3-9e5a-4001-b1da-cd103bc2c608','','req-0ae2d9ac-51a9-447b-ab96-4a14b42195b8');
INSERT INTO "changes" VALUES(7,'subnet','5e92576d-95b6-4491-a4be-e99ae3c67981','','req-0ae2d9ac-51a9-447b-ab96-4a14b42195b8');
INSERT INTO "changes" VALUES(7,'subnet','5e92576d-95b6-4491-a4be-e99ae3c67981','network:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-0ae2d9ac-51a9-447b-ab96-4a14b42195b8');
INSERT INTO "changes" VALUES(8,'network','0f6bacc6-35b8-4d00-ae23-63e96af2d922','','req-464a7f44-b56e-4b75-9d85-84f1b3898e43');
INSERT INTO "changes" VALUES(8,'subnet','ac2f0146-fe24-4992-8d88-f294f6a7794d','','req-464a7f44-b56e-4b75-9d85-84f1b3898e43');
INSERT INTO "changes" VALUES(8,'subnet','ac2f0146-fe24-4992-8d88-f294f6a7794d','network:0f6bacc6-35b8-4d00-ae23-63e96af2d922','req-464a7f44-b56e-4b75-9d85-84f1b3898e43');
INSERT INTO "changes" VALUES(9,'network','d66653f6-e436-4458-8ea3-9f590efa4ef3','','req-94fa046d-b819-4553-9def-cd6c185de86e');
INSERT INTO "changes" VALUES(9,'subnet','11f38f9b-f517-4b52-804a-31788fc9c920','','req-94fa046d-b819-4553-9def-cd6c185de86e');
INSERT INTO "changes" VALUES(9,'subnet','11f38f9b-f517-4b52-804a-31788fc9c920','network:d66653f6-e436-4458-8ea3-9f590efa4ef3','req-94fa046d-b819-4553-9def-cd6c185de86e');
INSERT INTO "changes" VALUES(10,'network','9c05aad7-e95a-450d-94d1-ed6b873121f3','','req-4de32a4d-145e-4f22-a5fb-ca28a61121ea');
INSERT INTO "changes" VALUES(10,'subnet','7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','','req-4de32a4d-145e-4f22-a5fb-ca28a61121ea');
INSERT INTO "changes" VALUES(10,'subnet','7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','network:9c05aad7-e95a-450d-94d1-ed6b873121f3','req-4de32a4d-145e-4f22-a5fb-ca28a61121ea');
INSERT INTO "changes" VALUES(11,'group','6b28728c-dfce-4349-920a-7b4d888cc444','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group','6b28728c-dfce-4349-920a-7b4d888cc444','group:6b28728c-dfce-4349-920a-7b4d888cc444','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group','90ca4dbb-1d14-47f0-af93-959d2364f0ec','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group','90ca4dbb-1d14-47f0-af93-959d2364f0ec','group:90ca4dbb-1d14-47f0-af93-959d2364f0ec','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','26e4c9bb-4fbc-46e0-8ec4-3205981e23e4','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','5d8dd84d-c1b2-41d8-a791-1ae19c2c2aed','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','947be74d-efdc-4308-9e7d-d2b01891b365','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','a9dba557-dc5c-4b10-b5f4-7c8469926d34','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','da3e017b-34b5-4d51-a767-1f64822ee139','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'group_rule','e691ddfd-9d84-42da-a1d5-8eebb843ceda','','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(11,'remote_group','90ca4dbb-1d14-47f0-af93-959d2364f0ec','group:90ca4dbb-1d14-47f0-af93-959d2364f0ec','req-c31e5e30-8b92-48d1-a967-20c4d9864155');
INSERT INTO "changes" VALUES(12,'group','6b28728c-dfce-4349-920a-7b4d888cc444','','req-b85b0b6e-b73c-45dc-b193-16680fe504cf');
INSERT INTO "changes" VALUES(12,'group','6b28728c-dfce-4349-920a-7b4d888cc444','group:6b28728c-dfce-4349-920a-7b4d888cc444','req-b85b0b6e-b73c-45dc-b193-16680fe504cf');
INSERT INTO "changes" VALUES(12,'group_rule','1ec7ccad-9d86-41fe-a6a8-fcf0e6e97fe5','','req-b85b0b6e-b73c-45dc-b193-16680fe504cf');
INSERT INTO "changes" VALUES(13,'group','6b28728c-dfce-4349-920a-7b4d888cc444','','req-7581c637-6348-4b99-9ef3-e7e6ec4a0567');
INSERT INTO "changes" VALUES(13,'group','6b28728c-dfce-4349-920a-7b4d888cc444','group:6b28728c-dfce-4349-920a-7b4d888cc444','req-7581c637-6348-4b99-9ef3-e7e6ec4a0567');
INSERT INTO "changes" VALUES(13,'group_rule','e92a1e01-9593-4d8d-9f63-dd89b9a3d3fb','','req-7581c637-6348-4b99-9ef3-e7e6ec4a0567');
INSERT INTO "changes" VALUES(13,'remote_group','6b28728c-dfce-4349-920a-7b4d888cc444','group:6b28728c-dfce-4349-920a-7b4d888cc444','req-7581c637-6348-4b99-9ef3-e7e6ec4a0567');
INSERT INTO "changes" VALUES(14,'group','6b28728c-dfce-4349-920a-7b4d888cc444','','req-da6afee3-6ee7-42a2-b976-57c156194a83');
INSERT INTO "changes" VALUES(14,'group','6b28728c-dfce-4349-920a-7b4d888cc444','group:6b28728c-dfce-4349-920a-7b4d888cc444','req-da6afee3-6ee7-42a2-b976-57c156194a83');
INSERT INTO "changes" VALUES(14,'group_rule','8113f1a0-a174-428f-b58c-83667eaf1cb0','','req-da6afee3-6ee7-42a2-b976-57c156194a83');
INSERT INTO "changes" VALUES(15,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','','req-3c219ff7-0f07-47d5-b506-465ad9acab83');
INSERT INTO "changes" VALUES(15,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','qos:2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','req-3c219ff7-0f07-47d5-b506-465ad9acab83');
INSERT INTO "changes" VALUES(16,'bandwidth_limit_rule','ca4662be-022c-4adb-8dac-802bd248be18','','req-cd5de183-8fcc-4e71-a8fe-c61c9211a629');
INSERT INTO "changes" VALUES(16,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','','req-cd5de183-8fcc-4e71-a8fe-c61c9211a629');
INSERT INTO "changes" VALUES(16,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','qos:2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','req-cd5de183-8fcc-4e71-a8fe-c61c9211a629');
INSERT INTO "changes" VALUES(17,'bandwidth_limit_rule','11e1ca5f-fe2c-4449-9253-25b0895abb21','','req-fb03ad14-f365-4172-aade-8c5bd154b4d3');
INSERT INTO "changes" VALUES(17,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','','req-fb03ad14-f365-4172-aade-8c5bd154b4d3');
INSERT INTO "changes" VALUES(17,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','qos:2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','req-fb03ad14-f365-4172-aade-8c5bd154b4d3');
INSERT INTO "changes" VALUES(18,'port_block_rule','142e4368-4deb-4f4a-8ac5-4e3cf4c7681f','','req-a4d014c7-f497-46a8-9d5c-b78621c50eff');
INSERT INTO "changes" VALUES(18,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','','req-a4d014c7-f497-46a8-9d5c-b78621c50eff');
INSERT INTO "changes" VALUES(18,'qos','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','qos:2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','req-a4d014c7-f497-46a8-9d5c-b78621c50eff');
INSERT INTO "changes" VALUES(19,'member','6b28728c-dfce-4349-920a-7b4d888cc444/6e2eeb02-0b20-49ed-8e3c-193c3779fffc','members:6b28728c-dfce-4349-920a-7b4d888cc444','req-06e1844d-41cb-4113-a94d-b8ff9f66a96e');
INSERT INTO "changes" VALUES(19,'peer','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','peers:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-06e1844d-41cb-4113-a94d-b8ff9f66a96e');
INSERT INTO "changes" VALUES(19,'port','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','','req-06e1844d-41cb-4113-a94d-b8ff9f66a96e');
INSERT INTO "changes" VALUES(19,'port','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','host:hv1','req-06e1844d-41cb-4113-a94d-b8ff9f66a96e');
INSERT INTO "changes" VALUES(20,'member','6b28728c-dfce-4349-920a-7b4d888cc444/31307085-7c36-42b9-9f67-b8b1e2b015e5','members:6b28728c-dfce-4349-920a-7b4d888cc444','req-cb19c526-883c-4066-a246-700d4cb45592');
INSERT INTO "changes" VALUES(20,'peer','31307085-7c36-42b9-9f67-b8b1e2b015e5','peers:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-cb19c526-883c-4066-a246-700d4cb45592');
INSERT INTO "changes" VALUES(20,'port','31307085-7c36-42b9-9f67-b8b1e2b015e5','','req-cb19c526-883c-4066-a246-700d4cb45592');
INSERT INTO "changes" VALUES(20,'port','31307085-7c36-42b9-9f67-b8b1e2b015e5','host:hv1','req-cb19c526-883c-4066-a246-700d4cb45592');
INSERT INTO "changes" VALUES(21,'member','6b28728c-dfce-4349-920a-7b4d888cc444/5430c928-c85f-4925-8afd-94ec81d2e975','members:6b28728c-dfce-4349-920a-7b4d888cc444','req-fcf8ea22-e82c-4b5f-8dd0-0eaac7dd8a57');
INSERT INTO "changes" VALUES(21,'peer','5430c928-c85f-4925-8afd-94ec81d2e975','peers:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-fcf8ea22-e82c-4b5f-8dd0-0eaac7dd8a57');
INSERT INTO "changes" VALUES(21,'port','5430c928-c85f-4925-8afd-94ec81d2e975','','req-fcf8ea22-e82c-4b5f-8dd0-0eaac7dd8a57');
INSERT INTO "changes" VALUES(21,'port','5430c928-c85f-4925-8afd-94ec81d2e975','host:hv2','req-fcf8ea22-e82c-4b5f-8dd0-0eaac7dd8a57');
INSERT INTO "changes" VALUES(22,'port','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','','');
INSERT INTO "changes" VALUES(23,'member','90ca4dbb-1d14-47f0-af93-959d2364f0ec/a853aee4-f475-4b6e-bf12-757213182a14','members:90ca4dbb-1d14-47f0-af93-959d2364f0ec','req-d1147ae4-fae4-441c-90e5-f0c392899e9c');
INSERT INTO "changes" VALUES(23,'peer','a853aee4-f475-4b6e-bf12-757213182a14','peers:0f6bacc6-35b8-4d00-ae23-63e96af2d922','req-d1147ae4-fae4-441c-90e5-f0c392899e9c');
INSERT INTO "changes" VALUES(23,'port','a853aee4-f475-4b6e-bf12-757213182a14','','req-d1147ae4-fae4-441c-90e5-f0c392899e9c');
INSERT INTO "changes" VALUES(23,'port','a853aee4-f475-4b6e-bf12-757213182a14','host:hv2','req-d1147ae4-fae4-441c-90e5-f0c392899e9c');
INSERT INTO "changes" VALUES(24,'port','31307085-7c36-42b9-9f67-b8b1e2b015e5','','');
INSERT INTO "changes" VALUES(25,'port','5430c928-c85f-4925-8afd-94ec81d2e975','','');
INSERT INTO "changes" VALUES(26,'member','90ca4dbb-1d14-47f0-af93-959d2364f0ec/a025c61c-1c8a-4256-82e0-b280fbe7164a','members:90ca4dbb-1d14-47f0-af93-959d2364f0ec','req-883beb1e-53c5-4788-a148-ac6ea3f49bd1');
INSERT INTO "changes" VALUES(26,'peer','a025c61c-1c8a-4256-82e0-b280fbe7164a','peers:d66653f6-e436-4458-8ea3-9f590efa4ef3','req-883beb1e-53c5-4788-a148-ac6ea3f49bd1');
INSERT INTO "changes" VALUES(26,'port','a025c61c-1c8a-4256-82e0-b280fbe7164a','','req-883beb1e-53c5-4788-a148-ac6ea3f49bd1');
INSERT INTO "changes" VALUES(26,'port','a025c61c-1c8a-4256-82e0-b280fbe7164a','host:hv1','req-883beb1e-53c5-4788-a148-ac6ea3f49bd1');
INSERT INTO "changes" VALUES(27,'port','104b1908-57fd-4862-a633-3dc3e20a31ec','','req-f70cfc89-0b37-49fc-af9f-04b4963242c3');
INSERT INTO "changes" VALUES(27,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','','req-f70cfc89-0b37-49fc-af9f-04b4963242c3');
INSERT INTO "changes" VALUES(27,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:9c05aad7-e95a-450d-94d1-ed6b873121f3','req-f70cfc89-0b37-49fc-af9f-04b4963242c3');
INSERT INTO "changes" VALUES(27,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','router:092a4a4c-6580-43cd-806d-2d23eece6ab9','req-f70cfc89-0b37-49fc-af9f-04b4963242c3');
INSERT INTO "changes" VALUES(28,'port','a853aee4-f475-4b6e-bf12-757213182a14','','');
INSERT INTO "changes" VALUES(29,'port','a025c61c-1c8a-4256-82e0-b280fbe7164a','','');
INSERT INTO "changes" VALUES(30,'port','c84a472d-b081-41e8-a71f-2e1d6b7f5566','','req-1b9abb30-19dd-4598-8608-4c50ee5fa441');
INSERT INTO "changes" VALUES(30,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','','req-1b9abb30-19dd-4598-8608-4c50ee5fa441');
INSERT INTO "changes" VALUES(30,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:3956dbe3-9e5a-4001-b1da-cd103bc2c608','req-1b9abb30-19dd-4598-8608-4c50ee5fa441');
INSERT INTO "changes" VALUES(30,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','router:092a4a4c-6580-43cd-806d-2d23eece6ab9','req-1b9abb30-19dd-4598-8608-4c50ee5fa441');
INSERT INTO "changes" VALUES(31,'port','a3b4c2aa-4444-46ec-bf07-2a549787dbce','','req-ff93e39a-389c-41db-8bef-cd574fdc184c');
INSERT INTO "changes" VALUES(31,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','','req-ff93e39a-389c-41db-8bef-cd574fdc184c');
INSERT INTO "changes" VALUES(31,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:0f6bacc6-35b8-4d00-ae23-63e96af2d922','req-ff93e39a-389c-41db-8bef-cd574fdc184c');
INSERT INTO "changes" VALUES(31,'router','092a4a4c-6580-43cd-806d-2d23eece6ab9','router:092a4a4c-6580-43cd-806d-2d23eece6ab9','req-ff93e39a-389c-41db-8bef-cd574fdc184c');
INSERT INTO "changes" VALUES(32,'floating_ip','088d157b-dfcb-4750-97a4-547c74480c08','','req-4da5b803-7a26-4bd3-ab19-eae7da6874f1');
INSERT INTO "changes" VALUES(32,'floating_ip','088d157b-dfcb-4750-97a4-547c74480c08','port:6e2eeb02-0b20-49ed-8e3c-193c3779fffc','req-4da5b803-7a26-4bd3-ab19-eae7da6874f1');
INSERT INTO "changes" VALUES(32,'port','502ed8d7-a6d0-4fc9-8db6-7210880cc724','','req-4da5b803-7a26-4bd3-ab19-eae7da6874f1');
INSERT INTO "changes" VALUES(33,'floating_ip','088d157b-dfcb-4750-97a4-547c74480c08','','');
INSERT INTO "changes" VALUES(33,'port','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','','');
INSERT INTO "changes" VALUES(34,'port','31307085-7c36-42b9-9f67-b8b1e2b015e5','','');
CREATE TABLE floating_ips (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	floating_network_id TEXT NOT NULL, 
	floating_ip_address TEXT NOT NULL, 
	floating_port_id TEXT NOT NULL, 
	port_id TEXT, 
	fixed_ip_address TEXT, 
	router_id TEXT, 
	status TEXT NOT NULL, 
	CONSTRAINT pk_floating_ips PRIMARY KEY (id), 
	CONSTRAINT fk_floating_ips_floating_network_id FOREIGN KEY(floating_network_id) REFERENCES networks (id), 
	CONSTRAINT fk_floating_ips_port_id FOREIGN KEY(port_id) REFERENCES ports (id), 
	CONSTRAINT fk_floating_ips_router_id FOREIGN KEY(router_id) REFERENCES routers (id)
);
INSERT INTO "floating_ips" VALUES('088d157b-dfcb-4750-97a4-547c74480c08','fb5152581c20460c8035c6e732c194bd','','',1,'2026-11-21T01:23:32.388822Z','2026-11-21T01:23:32.448244Z','9c05aad7-e95a-450d-94d1-ed6b873121f3','203.0.113.3','502ed8d7-a6d0-4fc9-8db6-7210880cc724','6e2eeb02-0b20-49ed-8e3c-193c3779fffc','10.0.0.2','092a4a4c-6580-43cd-806d-2d23eece6ab9','ACTIVE');
CREATE TABLE hosts (
	name TEXT NOT NULL, 
	tunnel_ip TEXT, 
	physnets TEXT NOT NULL, 
	credential_hash TEXT NOT NULL, 
	schema BIGINT NOT NULL, 
	joined_at TEXT NOT NULL, 
	accepted_epoch BIGINT NOT NULL, 
	CONSTRAINT pk_hosts PRIMARY KEY (name)
);
INSERT INTO "hosts" VALUES('hv2','172.31.99.12','["public"]','7baa0b71c0967e7c8494cea08a6074c5079fe4bcae6f84985ccbd5271d10fa4b',1,'2026-11-21T01:23:31.256636Z',0);
INSERT INTO "hosts" VALUES('hv1','172.31.99.11','["public"]','fdd1a3e8478a8567fe13ce3b08e3fb815febaeff42f73845c80affcbe11132fd',1,'2026-11-21T01:23:31.451878Z',0);
CREATE TABLE ip_allocations (
	subnet_id TEXT NOT NULL, 
	ip TEXT NOT NULL, 
	port_id TEXT NOT NULL, 
	CONSTRAINT pk_ip_allocations PRIMARY KEY (subnet_id, ip), 
	CONSTRAINT fk_ip_allocations_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_ip_allocations_subnet_id FOREIGN KEY(subnet_id) REFERENCES subnets (id)
);
INSERT INTO "ip_allocations" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','0a000002','6e2eeb02-0b20-49ed-8e3c-193c3779fffc');
INSERT INTO "ip_allocations" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','0a000003','31307085-7c36-42b9-9f67-b8b1e2b015e5');
INSERT INTO "ip_allocations" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','0a000004','5430c928-c85f-4925-8afd-94ec81d2e975');
INSERT INTO "ip_allocations" VALUES('ac2f0146-fe24-4992-8d88-f294f6a7794d','0a000102','a853aee4-f475-4b6e-bf12-757213182a14');
INSERT INTO "ip_allocations" VALUES('11f38f9b-f517-4b52-804a-31788fc9c920','c6336402','a025c61c-1c8a-4256-82e0-b280fbe7164a');
INSERT INTO "ip_allocations" VALUES('7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','cb007102','104b1908-57fd-4862-a633-3dc3e20a31ec');
INSERT INTO "ip_allocations" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','0a000001','c84a472d-b081-41e8-a71f-2e1d6b7f5566');
INSERT INTO "ip_allocations" VALUES('ac2f0146-fe24-4992-8d88-f294f6a7794d','0a000101','a3b4c2aa-4444-46ec-bf07-2a549787dbce');
INSERT INTO "ip_allocations" VALUES('7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','cb007103','502ed8d7-a6d0-4fc9-8db6-7210880cc724');
CREATE TABLE ip_free (
	subnet_id TEXT NOT NULL, 
	first TEXT NOT NULL, 
	last TEXT NOT NULL, 
	CONSTRAINT pk_ip_free PRIMARY KEY (subnet_id, first), 
	CONSTRAINT fk_ip_free_subnet_id FOREIGN KEY(subnet_id) REFERENCES subnets (id) ON DELETE CASCADE
);
INSERT INTO "ip_free" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','0a000005','0a0000fe');
INSERT INTO "ip_free" VALUES('ac2f0146-fe24-4992-8d88-f294f6a7794d','0a000103','0a0001fe');
INSERT INTO "ip_free" VALUES('11f38f9b-f517-4b52-804a-31788fc9c920','c6336403','c63364fe');
INSERT INTO "ip_free" VALUES('7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','cb007104','cb0071fe');
CREATE TABLE join_tokens (
	id TEXT NOT NULL, 
	host TEXT NOT NULL, 
	expires_at TEXT NOT NULL, 
	CONSTRAINT pk_join_tokens PRIMARY KEY (id)
);
CREATE TABLE meta (
	one INTEGER NOT NULL, 
	store TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY (one)
);
INSERT INTO "meta" VALUES(1,'3381e4be-e789-451b-8f7d-0ecbd4120afc',1);
CREATE TABLE networks (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	shared BOOLEAN NOT NULL, 
	external BOOLEAN NOT NULL, 
	mtu BIGINT NOT NULL, 
	port_security BOOLEAN NOT NULL, 
	network_type TEXT NOT NULL, 
	segment BIGINT, 
	physnet TEXT, 
	qos_policy_id TEXT, 
	CONSTRAINT pk_networks PRIMARY KEY (id), 
	CONSTRAINT fk_networks_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id)
);
INSERT INTO "networks" VALUES('3956dbe3-9e5a-4001-b1da-cd103bc2c608','fb5152581c20460c8035c6e732c194bd','blue','',1,'2026-11-21T01:23:32.153249Z','2026-11-21T01:23:32.182585Z',1,0,0,1450,1,'vxlan',100,NULL,NULL);
INSERT INTO "networks" VALUES('0f6bacc6-35b8-4d00-ae23-63e96af2d922','fb5152581c20460c8035c6e732c194bd','green','',1,'2026-11-21T01:23:32.162772Z','2026-11-21T01:23:32.192117Z',1,0,0,1450,1,'vxlan',101,NULL,NULL);
INSERT INTO "networks" VALUES('d66653f6-e436-4458-8ea3-9f590efa4ef3','fb5152581c20460c8035c6e732c194bd','wire','',1,'2026-11-21T01:23:32.171969Z','2026-11-21T01:23:32.198736Z',1,0,0,1500,1,'vlan',7,'public',NULL);
INSERT INTO "networks" VALUES('9c05aad7-e95a-450d-94d1-ed6b873121f3','fb5152581c20460c8035c6e732c194bd','outside','',1,'2026-11-21T01:23:32.177442Z','2026-11-21T01:23:32.203904Z',1,0,1,1500,1,'flat',NULL,'public',NULL);
CREATE TABLE port_block_rules (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	policy_id TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	protocol TEXT NOT NULL, 
	port_range_min BIGINT NOT NULL, 
	port_range_max BIGINT NOT NULL, 
	remote_ip_prefix TEXT, 
	CONSTRAINT pk_port_block_rules PRIMARY KEY (id), 
	CONSTRAINT fk_port_block_rules_policy_id FOREIGN KEY(policy_id) REFERENCES qos_policies (id)
);
INSERT INTO "port_block_rules" VALUES('142e4368-4deb-4f4a-8ac5-4e3cf4c7681f','','','',0,'2026-11-21T01:23:32.262847Z','2026-11-21T01:23:32.262847Z','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','egress','tcp',25,25,NULL);
CREATE TABLE port_security_groups (
	port_id TEXT NOT NULL, 
	group_id TEXT NOT NULL, 
	CONSTRAINT pk_port_security_groups PRIMARY KEY (port_id, group_id), 
	CONSTRAINT fk_port_security_groups_group_id FOREIGN KEY(group_id) REFERENCES security_groups (id), 
	CONSTRAINT fk_port_security_groups_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE
);
INSERT INTO "port_security_groups" VALUES('6e2eeb02-0b20-49ed-8e3c-193c3779fffc','6b28728c-dfce-4349-920a-7b4d888cc444');
INSERT INTO "port_security_groups" VALUES('31307085-7c36-42b9-9f67-b8b1e2b015e5','6b28728c-dfce-4349-920a-7b4d888cc444');
INSERT INTO "port_security_groups" VALUES('5430c928-c85f-4925-8afd-94ec81d2e975','6b28728c-dfce-4349-920a-7b4d888cc444');
INSERT INTO "port_security_groups" VALUES('a853aee4-f475-4b6e-bf12-757213182a14','90ca4dbb-1d14-47f0-af93-959d2364f0ec');
INSERT INTO "port_security_groups" VALUES('a025c61c-1c8a-4256-82e0-b280fbe7164a','90ca4dbb-1d14-47f0-af93-959d2364f0ec');
CREATE TABLE ports (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	network_id TEXT NOT NULL, 
	mac_address TEXT NOT NULL, 
	fixed_ips TEXT NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	status TEXT NOT NULL, 
	status_reason TEXT NOT NULL, 
	device_id TEXT NOT NULL, 
	device_owner TEXT NOT NULL, 
	security_groups TEXT NOT NULL, 
	port_security BOOLEAN NOT NULL, 
	allowed_address_pairs TEXT NOT NULL, 
	binding_host TEXT NOT NULL, 
	binding_vnic_type TEXT NOT NULL, 
	binding_profile TEXT NOT NULL, 
	qos_policy_id TEXT, 
	CONSTRAINT pk_ports PRIMARY KEY (id), 
	CONSTRAINT fk_ports_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT fk_ports_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id)
);
INSERT INTO "ports" VALUES('6e2eeb02-0b20-49ed-8e3c-193c3779fffc','fb5152581c20460c8035c6e732c194bd','one','',2,'2026-11-21T01:23:32.268182Z','2026-11-21T01:23:32.448244Z','3956dbe3-9e5a-4001-b1da-cd103bc2c608','fa:16:3e:54:c3:e3','[{"subnet_id":"5e92576d-95b6-4491-a4be-e99ae3c67981","ip":"10.0.0.2"}]',1,'ACTIVE','','','','["6b28728c-dfce-4349-920a-7b4d888cc444"]',1,'[{"mac":"00:00:5e:00:01:01","cidr":"10.0.0.200"}]','hv1','normal','{}','2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b');
INSERT INTO "ports" VALUES('31307085-7c36-42b9-9f67-b8b1e2b015e5','fb5152581c20460c8035c6e732c194bd','two','',2,'2026-11-21T01:23:32.283790Z','2026-11-21T01:23:32.489670Z','3956dbe3-9e5a-4001-b1da-cd103bc2c608','fa:16:3e:83:f4:7c','[{"subnet_id":"5e92576d-95b6-4491-a4be-e99ae3c67981","ip":"10.0.0.3"}]',1,'ACTIVE','','','','["6b28728c-dfce-4349-920a-7b4d888cc444"]',1,'[]','hv1','normal','{}',NULL);
INSERT INTO "ports" VALUES('5430c928-c85f-4925-8afd-94ec81d2e975','fb5152581c20460c8035c6e732c194bd','far','',1,'2026-11-21T01:23:32.296311Z','2026-11-21T01:23:32.327349Z','3956dbe3-9e5a-4001-b1da-cd103bc2c608','fa:16:3e:8c:2f:e7','[{"subnet_id":"5e92576d-95b6-4491-a4be-e99ae3c67981","ip":"10.0.0.4"}]',1,'DOWN','no interface on this host has external_ids:iface-id=5430c928-c85f-4925-8afd-94ec81d2e975','','','["6b28728c-dfce-4349-920a-7b4d888cc444"]',1,'[]','hv2','normal','{}',NULL);
INSERT INTO "ports" VALUES('a853aee4-f475-4b6e-bf12-757213182a14','fb5152581c20460c8035c6e732c194bd','side','',1,'2026-11-21T01:23:32.316486Z','2026-11-21T01:23:32.350923Z','0f6bacc6-35b8-4d00-ae23-63e96af2d922','fa:16:3e:56:5b:34','[{"subnet_id":"ac2f0146-fe24-4992-8d88-f294f6a7794d","ip":"10.0.1.2"}]',1,'DOWN','no interface on this host has external_ids:iface-id=a853aee4-f475-4b6e-bf12-757213182a14','','','["90ca4dbb-1d14-47f0-af93-959d2364f0ec"]',1,'[]','hv2','normal','{}',NULL);
INSERT INTO "ports" VALUES('a025c61c-1c8a-4256-82e0-b280fbe7164a','fb5152581c20460c8035c6e732c194bd','wired','',1,'2026-11-21T01:23:32.330573Z','2026-11-21T01:23:32.355536Z','d66653f6-e436-4458-8ea3-9f590efa4ef3','fa:16:3e:58:b5:b4','[{"subnet_id":"11f38f9b-f517-4b52-804a-31788fc9c920","ip":"198.51.100.2"}]',1,'DOWN','no interface on this host has external_ids:iface-id=a025c61c-1c8a-4256-82e0-b280fbe7164a','','','["90ca4dbb-1d14-47f0-af93-959d2364f0ec"]',1,'[]','hv1','normal','{}',NULL);
INSERT INTO "ports" VALUES('104b1908-57fd-4862-a633-3dc3e20a31ec','','','',0,'2026-11-21T01:23:32.338346Z','2026-11-21T01:23:32.338346Z','9c05aad7-e95a-450d-94d1-ed6b873121f3','fa:16:3e:cf:27:34','[{"subnet_id":"7c3f604d-774f-4881-8d2c-9cf1c0cb62f3","ip":"203.0.113.2"}]',1,'DOWN','','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:router_gateway','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('c84a472d-b081-41e8-a71f-2e1d6b7f5566','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.358882Z','2026-11-21T01:23:32.358882Z','3956dbe3-9e5a-4001-b1da-cd103bc2c608','fa:16:3e:3e:07:95','[{"subnet_id":"5e92576d-95b6-4491-a4be-e99ae3c67981","ip":"10.0.0.1"}]',1,'DOWN','','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:router_interface','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('a3b4c2aa-4444-46ec-bf07-2a549787dbce','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.371469Z','2026-11-21T01:23:32.371469Z','0f6bacc6-35b8-4d00-ae23-63e96af2d922','fa:16:3e:af:17:3b','[{"subnet_id":"ac2f0146-fe24-4992-8d88-f294f6a7794d","ip":"10.0.1.1"}]',1,'DOWN','','092a4a4c-6580-43cd-806d-2d23eece6ab9','network:router_interface','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('502ed8d7-a6d0-4fc9-8db6-7210880cc724','','','',0,'2026-11-21T01:23:32.388822Z','2026-11-21T01:23:32.388822Z','9c05aad7-e95a-450d-94d1-ed6b873121f3','fa:16:3e:c4:f6:58','[{"subnet_id":"7c3f604d-774f-4881-8d2c-9cf1c0cb62f3","ip":"203.0.113.3"}]',1,'DOWN','','088d157b-dfcb-4750-97a4-547c74480c08','network:floatingip','[]',0,'[]','','normal','{}',NULL);
CREATE TABLE projects (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (id)
);
INSERT INTO "projects" VALUES('fb5152581c20460c8035c6e732c194bd','admin','The cloud''s operators.',1);
CREATE TABLE qos_policies (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	shared BOOLEAN NOT NULL, 
	is_default BOOLEAN NOT NULL, 
	CONSTRAINT pk_qos_policies PRIMARY KEY (id)
);
INSERT INTO "qos_policies" VALUES('2d45c8e4-5c47-47c5-a2ba-8eca067eeb2b','fb5152581c20460c8035c6e732c194bd','tight','',3,'2026-11-21T01:23:32.241452Z','2026-11-21T01:23:32.262847Z',0,0);
CREATE TABLE role_assignments (
	user_id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	role_id TEXT NOT NULL, 
	CONSTRAINT pk_role_assignments PRIMARY KEY (user_id, project_id, role_id)
);
INSERT INTO "role_assignments" VALUES('eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','447ec6747f0a4da688d135dac2e61d2b');
INSERT INTO "role_assignments" VALUES('eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','74acff1d706d450984a256fa8c9651f7');
INSERT INTO "role_assignments" VALUES('eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','dc5767119f064698a347fc7963a22779');
INSERT INTO "role_assignments" VALUES('eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','e91d798682454164915d448a19595fe4');
INSERT INTO "role_assignments" VALUES('eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','b39b6127dc4b472ba68164b669764568');
CREATE TABLE roles (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	CONSTRAINT pk_roles PRIMARY KEY (id)
);
INSERT INTO "roles" VALUES('447ec6747f0a4da688d135dac2e61d2b','admin','');
INSERT INTO "roles" VALUES('74acff1d706d450984a256fa8c9651f7','manager','');
INSERT INTO "roles" VALUES('dc5767119f064698a347fc7963a22779','member','');
INSERT INTO "roles" VALUES('e91d798682454164915d448a19595fe4','reader','');
INSERT INTO "roles" VALUES('b39b6127dc4b472ba68164b669764568','service','');
CREATE TABLE routers (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	gateway_network_id TEXT, 
	gateway_port_id TEXT, 
	enable_snat BOOLEAN NOT NULL, 
	routes TEXT NOT NULL, 
	CONSTRAINT pk_routers PRIMARY KEY (id)
);
INSERT INTO "routers" VALUES('092a4a4c-6580-43cd-806d-2d23eece6ab9','fb5152581c20460c8035c6e732c194bd','r1','',3,'2026-11-21T01:23:32.338346Z','2026-11-21T01:23:32.371469Z',1,'9c05aad7-e95a-450d-94d1-ed6b873121f3','104b1908-57fd-4862-a633-3dc3e20a31ec',1,'[]');
CREATE TABLE security_group_rules (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	security_group_id TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	ethertype TEXT NOT NULL, 
	protocol TEXT, 
	port_range_min BIGINT, 
	port_range_max BIGINT, 
	remote_ip_prefix TEXT, 
	remote_group_id TEXT, 
	CONSTRAINT pk_security_group_rules PRIMARY KEY (id), 
	CONSTRAINT fk_security_group_rules_remote_group_id FOREIGN KEY(remote_group_id) REFERENCES security_groups (id), 
	CONSTRAINT fk_security_group_rules_security_group_id FOREIGN KEY(security_group_id) REFERENCES security_groups (id)
);
INSERT INTO "security_group_rules" VALUES('26e4c9bb-4fbc-46e0-8ec4-3205981e23e4','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','90ca4dbb-1d14-47f0-af93-959d2364f0ec','egress','IPv6',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('a9dba557-dc5c-4b10-b5f4-7c8469926d34','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','90ca4dbb-1d14-47f0-af93-959d2364f0ec','egress','IPv4',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('e691ddfd-9d84-42da-a1d5-8eebb843ceda','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','90ca4dbb-1d14-47f0-af93-959d2364f0ec','ingress','IPv6',NULL,NULL,NULL,NULL,'90ca4dbb-1d14-47f0-af93-959d2364f0ec');
INSERT INTO "security_group_rules" VALUES('947be74d-efdc-4308-9e7d-d2b01891b365','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','90ca4dbb-1d14-47f0-af93-959d2364f0ec','ingress','IPv4',NULL,NULL,NULL,NULL,'90ca4dbb-1d14-47f0-af93-959d2364f0ec');
INSERT INTO "security_group_rules" VALUES('5d8dd84d-c1b2-41d8-a791-1ae19c2c2aed','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','6b28728c-dfce-4349-920a-7b4d888cc444','egress','IPv6',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('da3e017b-34b5-4d51-a767-1f64822ee139','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z','6b28728c-dfce-4349-920a-7b4d888cc444','egress','IPv4',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('1ec7ccad-9d86-41fe-a6a8-fcf0e6e97fe5','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.218096Z','2026-11-21T01:23:32.218096Z','6b28728c-dfce-4349-920a-7b4d888cc444','ingress','IPv4','tcp',80,89,'0.0.0.0/0',NULL);
INSERT INTO "security_group_rules" VALUES('e92a1e01-9593-4d8d-9f63-dd89b9a3d3fb','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.227580Z','2026-11-21T01:23:32.227580Z','6b28728c-dfce-4349-920a-7b4d888cc444','ingress','IPv4',NULL,NULL,NULL,NULL,'6b28728c-dfce-4349-920a-7b4d888cc444');
INSERT INTO "security_group_rules" VALUES('8113f1a0-a174-428f-b58c-83667eaf1cb0','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.236375Z','2026-11-21T01:23:32.236375Z','6b28728c-dfce-4349-920a-7b4d888cc444','ingress','IPv4','icmp',NULL,NULL,NULL,NULL);
CREATE TABLE security_groups (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	is_default BOOLEAN NOT NULL, 
	CONSTRAINT pk_security_groups PRIMARY KEY (id)
);
INSERT INTO "security_groups" VALUES('90ca4dbb-1d14-47f0-af93-959d2364f0ec','fb5152581c20460c8035c6e732c194bd','default','Default security group',0,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.208561Z',1);
INSERT INTO "security_groups" VALUES('6b28728c-dfce-4349-920a-7b4d888cc444','fb5152581c20460c8035c6e732c194bd','web','',3,'2026-11-21T01:23:32.208561Z','2026-11-21T01:23:32.236375Z',0);
CREATE TABLE subnets (
	id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	revision_number BIGINT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	network_id TEXT NOT NULL, 
	ip_version BIGINT NOT NULL, 
	cidr TEXT NOT NULL, 
	gateway_ip TEXT, 
	enable_dhcp BOOLEAN NOT NULL, 
	allocation_pools TEXT NOT NULL, 
	dns_nameservers TEXT NOT NULL, 
	host_routes TEXT NOT NULL, 
	ipv6_ra_mode TEXT, 
	ipv6_address_mode TEXT, 
	CONSTRAINT pk_subnets PRIMARY KEY (id), 
	CONSTRAINT fk_subnets_network_id FOREIGN KEY(network_id) REFERENCES networks (id)
);
INSERT INTO "subnets" VALUES('5e92576d-95b6-4491-a4be-e99ae3c67981','fb5152581c20460c8035c6e732c194bd','blue','',0,'2026-11-21T01:23:32.182585Z','2026-11-21T01:23:32.182585Z','3956dbe3-9e5a-4001-b1da-cd103bc2c608',4,'10.0.0.0/24','10.0.0.1',1,'[{"start":"10.0.0.2","end":"10.0.0.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('ac2f0146-fe24-4992-8d88-f294f6a7794d','fb5152581c20460c8035c6e732c194bd','green','',0,'2026-11-21T01:23:32.192117Z','2026-11-21T01:23:32.192117Z','0f6bacc6-35b8-4d00-ae23-63e96af2d922',4,'10.0.1.0/24','10.0.1.1',1,'[{"start":"10.0.1.2","end":"10.0.1.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('11f38f9b-f517-4b52-804a-31788fc9c920','fb5152581c20460c8035c6e732c194bd','wire','',0,'2026-11-21T01:23:32.198736Z','2026-11-21T01:23:32.198736Z','d66653f6-e436-4458-8ea3-9f590efa4ef3',4,'198.51.100.0/24','198.51.100.1',1,'[{"start":"198.51.100.2","end":"198.51.100.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('7c3f604d-774f-4881-8d2c-9cf1c0cb62f3','fb5152581c20460c8035c6e732c194bd','','',0,'2026-11-21T01:23:32.203904Z','2026-11-21T01:23:32.203904Z','9c05aad7-e95a-450d-94d1-ed6b873121f3',4,'203.0.113.0/24','203.0.113.1',0,'[{"start":"203.0.113.2","end":"203.0.113.254"}]','[]','[]',NULL,NULL);
CREATE TABLE tokens (
	id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	roles TEXT NOT NULL, 
	audit_id TEXT NOT NULL, 
	issued_at TEXT NOT NULL, 
	expires_at TEXT NOT NULL, 
	CONSTRAINT pk_tokens PRIMARY KEY (id)
);
INSERT INTO "tokens" VALUES('167af3422e91f09cdb8b50a5449eed5bc9ee6f8db80d0ebb0b570dc6222c07e4','eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','["admin","manager","member","reader","service"]','yxzU226LHRWd--5EucQDSQ','2026-11-21T01:23:30.380544Z','2026-11-21T13:23:30.380544Z');
INSERT INTO "tokens" VALUES('e336668e18266c0e6c630aa3e920acb847cc56f25217ec835b2fbd1f999d707e','eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','["admin","manager","member","reader","service"]','pMefTu2MBzeqev16--TXxw','2026-11-21T01:23:30.574466Z','2026-11-21T13:23:30.574466Z');
INSERT INTO "tokens" VALUES('0b2b70c894a6dced7c942f45c1b4f8884419a65a0fa127eb7256d010db5efdd7','eeee96529aa84ecb863fd3da28aec267','fb5152581c20460c8035c6e732c194bd','["admin","manager","member","reader","service"]','KlD4WEgd0IZ2KQTu3gUxGQ','2026-11-21T01:23:32.002010Z','2026-11-21T13:23:32.002010Z');
CREATE TABLE users (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	password_hash TEXT NOT NULL, 
	description TEXT NOT NULL, 
	email TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	default_project_id TEXT, 
	CONSTRAINT pk_users PRIMARY KEY (id)
);
INSERT INTO "users" VALUES('eeee96529aa84ecb863fd3da28aec267','admin','scrypt$15$8$1$lorkj/PuxEAnJWIoY3k73w==$Fyw9EQJ/gozaGNUVNFTkoLlYnsw/DhwOb90Am1V5Aug=','','',1,'fb5152581c20460c8035c6e732c194bd');
CREATE INDEX ix_hosts_credential_hash ON hosts (credential_hash);
CREATE INDEX ix_join_tokens_expires_at ON join_tokens (expires_at);
CREATE UNIQUE INDEX ix_projects_name ON projects (name);
CREATE INDEX ix_qos_policies_project_id ON qos_policies (project_id);
CREATE INDEX ix_role_assignments_project_id ON role_assignments (project_id);
CREATE INDEX ix_role_assignments_role_id ON role_assignments (role_id);
CREATE UNIQUE INDEX ix_roles_name ON roles (name);
CREATE INDEX ix_routers_gateway_network_id ON routers (gateway_network_id);
CREATE INDEX ix_routers_project_id ON routers (project_id);
CREATE INDEX ix_security_groups_project_id ON security_groups (project_id);
CREATE UNIQUE INDEX uq_security_groups_default ON security_groups (project_id) WHERE is_default;
CREATE INDEX ix_tokens_expires_at ON tokens (expires_at);
CREATE INDEX ix_tokens_project_id ON tokens (project_id);
CREATE INDEX ix_tokens_user_id ON tokens (user_id);
CREATE UNIQUE INDEX ix_users_name ON users (name);
CREATE UNIQUE INDEX ix_bandwidth_limit_rules_policy_id_direction ON bandwidth_limit_rules (policy_id, direction);
CREATE INDEX ix_networks_project_id ON networks (project_id);
CREATE INDEX ix_networks_qos_policy_id ON networks (qos_policy_id);
CREATE UNIQUE INDEX uq_networks_flat ON networks (physnet) WHERE network_type = 'flat';
CREATE UNIQUE INDEX uq_networks_vlan ON networks (physnet, segment) WHERE network_type = 'vlan';
CREATE UNIQUE INDEX uq_networks_vni ON networks (segment) WHERE network_type = 'vxlan';
CREATE INDEX ix_port_block_rules_policy_id ON port_block_rules (policy_id);
CREATE INDEX ix_security_group_rules_project_id ON security_group_rules (project_id);
CREATE INDEX ix_security_group_rules_remote_group_id ON security_group_rules (remote_group_id);
CREATE INDEX ix_security_group_rules_security_group_id ON security_group_rules (security_group_id);
CREATE INDEX ix_ports_binding_host ON ports (binding_host);
CREATE INDEX ix_ports_device_id ON ports (device_id);
CREATE UNIQUE INDEX ix_ports_network_id_mac_address ON ports (network_id, mac_address);
CREATE INDEX ix_ports_project_id ON ports (project_id);
CREATE INDEX ix_ports_qos_policy_id ON ports (qos_policy_id);
CREATE INDEX ix_subnets_network_id ON subnets (network_id);
CREATE INDEX ix_subnets_project_id ON subnets (project_id);
CREATE INDEX ix_floating_ips_floating_port_id ON floating_ips (floating_port_id);
CREATE UNIQUE INDEX ix_floating_ips_port_id_fixed_ip_address_floating_network_id ON floating_ips (port_id, fixed_ip_address, floating_network_id);
CREATE INDEX ix_floating_ips_project_id ON floating_ips (project_id);
CREATE INDEX ix_floating_ips_router_id ON floating_ips (router_id);
CREATE INDEX ix_ip_allocations_port_id ON ip_allocations (port_id);
CREATE INDEX ix_port_security_groups_group_id ON port_security_groups (group_id);
COMMIT;
