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
INSERT INTO "bandwidth_limit_rules" VALUES('909e3351-b488-4de9-8437-94f4bf0bab3c','','','',0,'2026-11-21T02:14:29.789596Z','2026-11-21T02:14:29.789596Z','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2',10000,0,'egress');
INSERT INTO "bandwidth_limit_rules" VALUES('57a9a0cf-6c3a-4338-b591-1fcc43a659e6','','','',0,'2026-11-21T02:14:29.797689Z','2026-11-21T02:14:29.797689Z','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2',10000,0,'ingress');
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
INSERT INTO "changes" VALUES(3,'network','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','','req-accf7b8c-236f-44dd-9578-ce6af9b41eef');
INSERT INTO "changes" VALUES(3,'network','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','network:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-accf7b8c-236f-44dd-9578-ce6af9b41eef');
INSERT INTO "changes" VALUES(4,'network','f46856cf-09a6-4704-aa9c-4fcf5daef065','','req-433a1cb2-1c83-497e-9342-8247a9619252');
INSERT INTO "changes" VALUES(4,'network','f46856cf-09a6-4704-aa9c-4fcf5daef065','network:f46856cf-09a6-4704-aa9c-4fcf5daef065','req-433a1cb2-1c83-497e-9342-8247a9619252');
INSERT INTO "changes" VALUES(5,'network','6a1d8723-08e2-4098-be5c-38e489c928fa','','req-0da99adf-e5ba-4603-9e2c-314460bf5a7d');
INSERT INTO "changes" VALUES(5,'network','6a1d8723-08e2-4098-be5c-38e489c928fa','network:6a1d8723-08e2-4098-be5c-38e489c928fa','req-0da99adf-e5ba-4603-9e2c-314460bf5a7d');
INSERT INTO "changes" VALUES(6,'network','151e6ecd-a258-4b97-aa5c-8be0136bcc44','','req-6ead4bf8-3504-447a-a670-585ce040dea2');
INSERT INTO "changes" VALUES(6,'network','151e6ecd-a258-4b97-aa5c-8be0136bcc44','network:151e6ecd-a258-4b97-aa5c-8be0136bcc44','req-6ead4bf8-3504-447a-a670-585ce040dea2');
INSERT INTO "changes" VALUES(7,'network','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','','req-f0ee4a67-b4f7-430c-999c-964b7413e819');
INSERT INTO "changes" VALUES(7,'subnet','74e45acb-c086-424f-b0f6-7c79e100d847','','req-f0ee4a67-b4f7-430c-999c-964b7413e819');
INSERT INTO "changes" VALUES(7,'subnet','74e45acb-c086-424f-b0f6-7c79e100d847','network:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-f0ee4a67-b4f7-430c-999c-964b7413e819');
INSERT INTO "changes" VALUES(8,'network','f46856cf-09a6-4704-aa9c-4fcf5daef065','','req-dc2e42c6-43c4-4f82-ace6-13fcdbc85cb4');
INSERT INTO "changes" VALUES(8,'subnet','8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','','req-dc2e42c6-43c4-4f82-ace6-13fcdbc85cb4');
INSERT INTO "changes" VALUES(8,'subnet','8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','network:f46856cf-09a6-4704-aa9c-4fcf5daef065','req-dc2e42c6-43c4-4f82-ace6-13fcdbc85cb4');
INSERT INTO "changes" VALUES(9,'network','6a1d8723-08e2-4098-be5c-38e489c928fa','','req-16a0b9a3-4e89-4d7d-93f8-76e764bb59a9');
INSERT INTO "changes" VALUES(9,'subnet','8f5ea480-531a-410b-bf04-e06fe75ce082','','req-16a0b9a3-4e89-4d7d-93f8-76e764bb59a9');
INSERT INTO "changes" VALUES(9,'subnet','8f5ea480-531a-410b-bf04-e06fe75ce082','network:6a1d8723-08e2-4098-be5c-38e489c928fa','req-16a0b9a3-4e89-4d7d-93f8-76e764bb59a9');
INSERT INTO "changes" VALUES(10,'network','151e6ecd-a258-4b97-aa5c-8be0136bcc44','','req-58e3da0d-82bb-42f4-b795-743312d6f793');
INSERT INTO "changes" VALUES(10,'subnet','b9f59646-fd4c-49c0-a931-afae4a602f6f','','req-58e3da0d-82bb-42f4-b795-743312d6f793');
INSERT INTO "changes" VALUES(10,'subnet','b9f59646-fd4c-49c0-a931-afae4a602f6f','network:151e6ecd-a258-4b97-aa5c-8be0136bcc44','req-58e3da0d-82bb-42f4-b795-743312d6f793');
INSERT INTO "changes" VALUES(11,'group','62c3cae5-9b5a-4022-80de-7911e5f3d205','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group','62c3cae5-9b5a-4022-80de-7911e5f3d205','group:62c3cae5-9b5a-4022-80de-7911e5f3d205','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','group:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','56b0c24f-2100-48d5-bb73-21384fa0ce9f','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','70c861e1-3d32-48f2-9731-d9356b02c6e5','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','7e665d85-3752-4590-9b20-42041c7fbd00','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','ab75da40-802c-4c4c-ba00-9f7fa55b1417','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','d5008640-c984-4154-b687-96af8f22984d','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'group_rule','efa12119-e713-45b0-b2a5-33ea850aacbf','','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(11,'remote_group','62c3cae5-9b5a-4022-80de-7911e5f3d205','group:62c3cae5-9b5a-4022-80de-7911e5f3d205','req-c70ec6d8-fd08-4578-afb8-321dc6025280');
INSERT INTO "changes" VALUES(12,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','','req-bcb39863-fa7d-4a38-8a67-51be4576d0dc');
INSERT INTO "changes" VALUES(12,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','group:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-bcb39863-fa7d-4a38-8a67-51be4576d0dc');
INSERT INTO "changes" VALUES(12,'group_rule','d58d150f-a2cf-48f7-944c-d7a41fdd3072','','req-bcb39863-fa7d-4a38-8a67-51be4576d0dc');
INSERT INTO "changes" VALUES(13,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','','req-2d9bc456-b0d4-42e4-9ec1-dd73a4ee3994');
INSERT INTO "changes" VALUES(13,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','group:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-2d9bc456-b0d4-42e4-9ec1-dd73a4ee3994');
INSERT INTO "changes" VALUES(13,'group_rule','231f5d81-997c-46bf-9a29-007712efec43','','req-2d9bc456-b0d4-42e4-9ec1-dd73a4ee3994');
INSERT INTO "changes" VALUES(13,'remote_group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','group:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-2d9bc456-b0d4-42e4-9ec1-dd73a4ee3994');
INSERT INTO "changes" VALUES(14,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','','req-38635bd9-4386-4ec4-82ab-92adddfe232d');
INSERT INTO "changes" VALUES(14,'group','7c384b92-c75b-4b8d-b13c-05b800d3ea98','group:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-38635bd9-4386-4ec4-82ab-92adddfe232d');
INSERT INTO "changes" VALUES(14,'group_rule','3b946851-6c14-4ea2-a780-bad4c19462f2','','req-38635bd9-4386-4ec4-82ab-92adddfe232d');
INSERT INTO "changes" VALUES(15,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','','req-e7f44d1e-ae3d-4aa3-a395-a1a042caa39c');
INSERT INTO "changes" VALUES(15,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','qos:f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','req-e7f44d1e-ae3d-4aa3-a395-a1a042caa39c');
INSERT INTO "changes" VALUES(16,'bandwidth_limit_rule','909e3351-b488-4de9-8437-94f4bf0bab3c','','req-3ec813d1-2805-4139-b14d-176004fd31a3');
INSERT INTO "changes" VALUES(16,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','','req-3ec813d1-2805-4139-b14d-176004fd31a3');
INSERT INTO "changes" VALUES(16,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','qos:f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','req-3ec813d1-2805-4139-b14d-176004fd31a3');
INSERT INTO "changes" VALUES(17,'bandwidth_limit_rule','57a9a0cf-6c3a-4338-b591-1fcc43a659e6','','req-9b048e94-4ce2-47e7-b39d-20eb5e453381');
INSERT INTO "changes" VALUES(17,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','','req-9b048e94-4ce2-47e7-b39d-20eb5e453381');
INSERT INTO "changes" VALUES(17,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','qos:f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','req-9b048e94-4ce2-47e7-b39d-20eb5e453381');
INSERT INTO "changes" VALUES(18,'port_block_rule','e7694ea3-6c42-41aa-bac4-58a7a08b0aa1','','req-7de88a19-9a5c-48d1-91d7-24022cdd1a09');
INSERT INTO "changes" VALUES(18,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','','req-7de88a19-9a5c-48d1-91d7-24022cdd1a09');
INSERT INTO "changes" VALUES(18,'qos','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','qos:f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','req-7de88a19-9a5c-48d1-91d7-24022cdd1a09');
INSERT INTO "changes" VALUES(19,'member','7c384b92-c75b-4b8d-b13c-05b800d3ea98/0daca6fe-9278-4825-9b71-6828b58c43ca','members:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-4e46961e-1417-435a-81ce-7a68cdbe9d5c');
INSERT INTO "changes" VALUES(19,'peer','0daca6fe-9278-4825-9b71-6828b58c43ca','peers:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-4e46961e-1417-435a-81ce-7a68cdbe9d5c');
INSERT INTO "changes" VALUES(19,'port','0daca6fe-9278-4825-9b71-6828b58c43ca','','req-4e46961e-1417-435a-81ce-7a68cdbe9d5c');
INSERT INTO "changes" VALUES(19,'port','0daca6fe-9278-4825-9b71-6828b58c43ca','host:hv1','req-4e46961e-1417-435a-81ce-7a68cdbe9d5c');
INSERT INTO "changes" VALUES(20,'member','7c384b92-c75b-4b8d-b13c-05b800d3ea98/3beaf14d-cf19-4dd2-993e-c82d1263323e','members:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-47c596d9-21f0-4987-b052-4f1b4a7aa4c6');
INSERT INTO "changes" VALUES(20,'peer','3beaf14d-cf19-4dd2-993e-c82d1263323e','peers:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-47c596d9-21f0-4987-b052-4f1b4a7aa4c6');
INSERT INTO "changes" VALUES(20,'port','3beaf14d-cf19-4dd2-993e-c82d1263323e','','req-47c596d9-21f0-4987-b052-4f1b4a7aa4c6');
INSERT INTO "changes" VALUES(20,'port','3beaf14d-cf19-4dd2-993e-c82d1263323e','host:hv1','req-47c596d9-21f0-4987-b052-4f1b4a7aa4c6');
INSERT INTO "changes" VALUES(21,'member','7c384b92-c75b-4b8d-b13c-05b800d3ea98/50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','members:7c384b92-c75b-4b8d-b13c-05b800d3ea98','req-924d5362-c64c-4abc-8462-7ec1e80ba6a3');
INSERT INTO "changes" VALUES(21,'peer','50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','peers:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-924d5362-c64c-4abc-8462-7ec1e80ba6a3');
INSERT INTO "changes" VALUES(21,'port','50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','','req-924d5362-c64c-4abc-8462-7ec1e80ba6a3');
INSERT INTO "changes" VALUES(21,'port','50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','host:hv2','req-924d5362-c64c-4abc-8462-7ec1e80ba6a3');
INSERT INTO "changes" VALUES(22,'member','62c3cae5-9b5a-4022-80de-7911e5f3d205/820b634a-67f8-40a6-8852-83aff27deb93','members:62c3cae5-9b5a-4022-80de-7911e5f3d205','req-9f7b5de8-443b-4361-93f9-2cfbcd69928a');
INSERT INTO "changes" VALUES(22,'peer','820b634a-67f8-40a6-8852-83aff27deb93','peers:f46856cf-09a6-4704-aa9c-4fcf5daef065','req-9f7b5de8-443b-4361-93f9-2cfbcd69928a');
INSERT INTO "changes" VALUES(22,'port','820b634a-67f8-40a6-8852-83aff27deb93','','req-9f7b5de8-443b-4361-93f9-2cfbcd69928a');
INSERT INTO "changes" VALUES(22,'port','820b634a-67f8-40a6-8852-83aff27deb93','host:hv2','req-9f7b5de8-443b-4361-93f9-2cfbcd69928a');
INSERT INTO "changes" VALUES(23,'member','62c3cae5-9b5a-4022-80de-7911e5f3d205/ac2a12f3-3233-4107-bf54-c65752edff69','members:62c3cae5-9b5a-4022-80de-7911e5f3d205','req-3ced7097-529f-4e2a-abb7-a7951801e453');
INSERT INTO "changes" VALUES(23,'peer','ac2a12f3-3233-4107-bf54-c65752edff69','peers:6a1d8723-08e2-4098-be5c-38e489c928fa','req-3ced7097-529f-4e2a-abb7-a7951801e453');
INSERT INTO "changes" VALUES(23,'port','ac2a12f3-3233-4107-bf54-c65752edff69','','req-3ced7097-529f-4e2a-abb7-a7951801e453');
INSERT INTO "changes" VALUES(23,'port','ac2a12f3-3233-4107-bf54-c65752edff69','host:hv1','req-3ced7097-529f-4e2a-abb7-a7951801e453');
INSERT INTO "changes" VALUES(24,'port','0daca6fe-9278-4825-9b71-6828b58c43ca','','');
INSERT INTO "changes" VALUES(25,'port','50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','','');
INSERT INTO "changes" VALUES(26,'port','9b8d89a7-5b99-4416-bf67-0ddda13378aa','','req-6a3c7515-5918-4597-b750-8fc03ece077a');
INSERT INTO "changes" VALUES(26,'router','10a351fd-9632-4783-8175-b800d5755314','','req-6a3c7515-5918-4597-b750-8fc03ece077a');
INSERT INTO "changes" VALUES(26,'router','10a351fd-9632-4783-8175-b800d5755314','network:151e6ecd-a258-4b97-aa5c-8be0136bcc44','req-6a3c7515-5918-4597-b750-8fc03ece077a');
INSERT INTO "changes" VALUES(26,'router','10a351fd-9632-4783-8175-b800d5755314','router:10a351fd-9632-4783-8175-b800d5755314','req-6a3c7515-5918-4597-b750-8fc03ece077a');
INSERT INTO "changes" VALUES(27,'port','3beaf14d-cf19-4dd2-993e-c82d1263323e','','');
INSERT INTO "changes" VALUES(28,'port','820b634a-67f8-40a6-8852-83aff27deb93','','');
INSERT INTO "changes" VALUES(29,'port','4277b48a-8011-4e84-bf00-01b325f4643c','','req-87506a7a-8eeb-41df-802a-7d21e4d3a5bc');
INSERT INTO "changes" VALUES(29,'router','10a351fd-9632-4783-8175-b800d5755314','','req-87506a7a-8eeb-41df-802a-7d21e4d3a5bc');
INSERT INTO "changes" VALUES(29,'router','10a351fd-9632-4783-8175-b800d5755314','network:9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','req-87506a7a-8eeb-41df-802a-7d21e4d3a5bc');
INSERT INTO "changes" VALUES(29,'router','10a351fd-9632-4783-8175-b800d5755314','router:10a351fd-9632-4783-8175-b800d5755314','req-87506a7a-8eeb-41df-802a-7d21e4d3a5bc');
INSERT INTO "changes" VALUES(30,'port','ac2a12f3-3233-4107-bf54-c65752edff69','','');
INSERT INTO "changes" VALUES(31,'port','6139d711-953c-4390-a0d7-840028fd9330','','req-b38abba5-ab1e-458f-b4b8-ac9658bf90ec');
INSERT INTO "changes" VALUES(31,'router','10a351fd-9632-4783-8175-b800d5755314','','req-b38abba5-ab1e-458f-b4b8-ac9658bf90ec');
INSERT INTO "changes" VALUES(31,'router','10a351fd-9632-4783-8175-b800d5755314','network:f46856cf-09a6-4704-aa9c-4fcf5daef065','req-b38abba5-ab1e-458f-b4b8-ac9658bf90ec');
INSERT INTO "changes" VALUES(31,'router','10a351fd-9632-4783-8175-b800d5755314','router:10a351fd-9632-4783-8175-b800d5755314','req-b38abba5-ab1e-458f-b4b8-ac9658bf90ec');
INSERT INTO "changes" VALUES(32,'floating_ip','ad414dcb-3a0c-4fff-8ef9-c339cb1433b3','','req-cb3b84c6-3140-4747-bb84-c430f4b3a544');
INSERT INTO "changes" VALUES(32,'floating_ip','ad414dcb-3a0c-4fff-8ef9-c339cb1433b3','port:0daca6fe-9278-4825-9b71-6828b58c43ca','req-cb3b84c6-3140-4747-bb84-c430f4b3a544');
INSERT INTO "changes" VALUES(32,'port','0f6992d6-7256-4d8a-9477-173ff534d93f','','req-cb3b84c6-3140-4747-bb84-c430f4b3a544');
INSERT INTO "changes" VALUES(33,'floating_ip','ad414dcb-3a0c-4fff-8ef9-c339cb1433b3','','');
INSERT INTO "changes" VALUES(33,'port','0daca6fe-9278-4825-9b71-6828b58c43ca','','');
INSERT INTO "changes" VALUES(34,'port','3beaf14d-cf19-4dd2-993e-c82d1263323e','','');
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
INSERT INTO "floating_ips" VALUES('ad414dcb-3a0c-4fff-8ef9-c339cb1433b3','19964c454e934b9799717de827ca1eee','','',1,'2026-11-21T02:14:29.889062Z','2026-11-21T02:14:29.928181Z','151e6ecd-a258-4b97-aa5c-8be0136bcc44','203.0.113.3','0f6992d6-7256-4d8a-9477-173ff534d93f','0daca6fe-9278-4825-9b71-6828b58c43ca','10.0.0.2','10a351fd-9632-4783-8175-b800d5755314','ACTIVE');
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
INSERT INTO "hosts" VALUES('hv2','172.31.99.12','["public"]','1dbaa72995da076646e7787d3a829af8ef3187ee6b7e7eed82e867f55a9ed74b',1,'2026-11-21T02:14:29.228195Z',0);
INSERT INTO "hosts" VALUES('hv1','172.31.99.11','["public"]','4df8aee337e7a4c553a5b8d1a69883452004ab22cdc9f2f0f37009eb5dde0d92',1,'2026-11-21T02:14:29.233663Z',0);
CREATE TABLE ip_allocations (
	subnet_id TEXT NOT NULL, 
	ip TEXT NOT NULL, 
	port_id TEXT NOT NULL, 
	CONSTRAINT pk_ip_allocations PRIMARY KEY (subnet_id, ip), 
	CONSTRAINT fk_ip_allocations_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_ip_allocations_subnet_id FOREIGN KEY(subnet_id) REFERENCES subnets (id)
);
INSERT INTO "ip_allocations" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','0a000002','0daca6fe-9278-4825-9b71-6828b58c43ca');
INSERT INTO "ip_allocations" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','0a000003','3beaf14d-cf19-4dd2-993e-c82d1263323e');
INSERT INTO "ip_allocations" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','0a000004','50fb86ac-d6e9-40b5-9c1c-ade6b76bb160');
INSERT INTO "ip_allocations" VALUES('8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','0a000102','820b634a-67f8-40a6-8852-83aff27deb93');
INSERT INTO "ip_allocations" VALUES('8f5ea480-531a-410b-bf04-e06fe75ce082','c6336402','ac2a12f3-3233-4107-bf54-c65752edff69');
INSERT INTO "ip_allocations" VALUES('b9f59646-fd4c-49c0-a931-afae4a602f6f','cb007102','9b8d89a7-5b99-4416-bf67-0ddda13378aa');
INSERT INTO "ip_allocations" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','0a000001','4277b48a-8011-4e84-bf00-01b325f4643c');
INSERT INTO "ip_allocations" VALUES('8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','0a000101','6139d711-953c-4390-a0d7-840028fd9330');
INSERT INTO "ip_allocations" VALUES('b9f59646-fd4c-49c0-a931-afae4a602f6f','cb007103','0f6992d6-7256-4d8a-9477-173ff534d93f');
CREATE TABLE ip_free (
	subnet_id TEXT NOT NULL, 
	first TEXT NOT NULL, 
	last TEXT NOT NULL, 
	CONSTRAINT pk_ip_free PRIMARY KEY (subnet_id, first), 
	CONSTRAINT fk_ip_free_subnet_id FOREIGN KEY(subnet_id) REFERENCES subnets (id) ON DELETE CASCADE
);
INSERT INTO "ip_free" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','0a000005','0a0000fe');
INSERT INTO "ip_free" VALUES('8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','0a000103','0a0001fe');
INSERT INTO "ip_free" VALUES('8f5ea480-531a-410b-bf04-e06fe75ce082','c6336403','c63364fe');
INSERT INTO "ip_free" VALUES('b9f59646-fd4c-49c0-a931-afae4a602f6f','cb007104','cb0071fe');
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
INSERT INTO "meta" VALUES(1,'3fc690c0-2683-4e4b-bad5-b12b4283b9dd',1);
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
INSERT INTO "networks" VALUES('9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','19964c454e934b9799717de827ca1eee','blue','',1,'2026-11-21T02:14:29.709624Z','2026-11-21T02:14:29.733445Z',1,0,0,1450,1,'vxlan',100,NULL,NULL);
INSERT INTO "networks" VALUES('f46856cf-09a6-4704-aa9c-4fcf5daef065','19964c454e934b9799717de827ca1eee','green','',1,'2026-11-21T02:14:29.718438Z','2026-11-21T02:14:29.741592Z',1,0,0,1450,1,'vxlan',101,NULL,NULL);
INSERT INTO "networks" VALUES('6a1d8723-08e2-4098-be5c-38e489c928fa','19964c454e934b9799717de827ca1eee','wire','',1,'2026-11-21T02:14:29.724265Z','2026-11-21T02:14:29.745731Z',1,0,0,1500,1,'vlan',7,'public',NULL);
INSERT INTO "networks" VALUES('151e6ecd-a258-4b97-aa5c-8be0136bcc44','19964c454e934b9799717de827ca1eee','outside','',1,'2026-11-21T02:14:29.729038Z','2026-11-21T02:14:29.749942Z',1,0,1,1500,1,'flat',NULL,'public',NULL);
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
INSERT INTO "port_block_rules" VALUES('e7694ea3-6c42-41aa-bac4-58a7a08b0aa1','','','',0,'2026-11-21T02:14:29.801090Z','2026-11-21T02:14:29.801090Z','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','egress','tcp',25,25,NULL);
CREATE TABLE port_security_groups (
	port_id TEXT NOT NULL, 
	group_id TEXT NOT NULL, 
	CONSTRAINT pk_port_security_groups PRIMARY KEY (port_id, group_id), 
	CONSTRAINT fk_port_security_groups_group_id FOREIGN KEY(group_id) REFERENCES security_groups (id), 
	CONSTRAINT fk_port_security_groups_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE
);
INSERT INTO "port_security_groups" VALUES('0daca6fe-9278-4825-9b71-6828b58c43ca','7c384b92-c75b-4b8d-b13c-05b800d3ea98');
INSERT INTO "port_security_groups" VALUES('3beaf14d-cf19-4dd2-993e-c82d1263323e','7c384b92-c75b-4b8d-b13c-05b800d3ea98');
INSERT INTO "port_security_groups" VALUES('50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','7c384b92-c75b-4b8d-b13c-05b800d3ea98');
INSERT INTO "port_security_groups" VALUES('820b634a-67f8-40a6-8852-83aff27deb93','62c3cae5-9b5a-4022-80de-7911e5f3d205');
INSERT INTO "port_security_groups" VALUES('ac2a12f3-3233-4107-bf54-c65752edff69','62c3cae5-9b5a-4022-80de-7911e5f3d205');
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
INSERT INTO "ports" VALUES('0daca6fe-9278-4825-9b71-6828b58c43ca','19964c454e934b9799717de827ca1eee','one','',2,'2026-11-21T02:14:29.805667Z','2026-11-21T02:14:29.928181Z','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','fa:16:3e:16:fa:63','[{"subnet_id":"74e45acb-c086-424f-b0f6-7c79e100d847","ip":"10.0.0.2"}]',1,'ACTIVE','','','','["7c384b92-c75b-4b8d-b13c-05b800d3ea98"]',1,'[{"mac":"00:00:5e:00:01:01","cidr":"10.0.0.200"}]','hv1','normal','{}','f64e2c55-ea70-45a4-8b83-5b9a03efd2d2');
INSERT INTO "ports" VALUES('3beaf14d-cf19-4dd2-993e-c82d1263323e','19964c454e934b9799717de827ca1eee','two','',2,'2026-11-21T02:14:29.817435Z','2026-11-21T02:14:29.953923Z','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','fa:16:3e:4f:2c:37','[{"subnet_id":"74e45acb-c086-424f-b0f6-7c79e100d847","ip":"10.0.0.3"}]',1,'ACTIVE','','','','["7c384b92-c75b-4b8d-b13c-05b800d3ea98"]',1,'[]','hv1','normal','{}',NULL);
INSERT INTO "ports" VALUES('50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','19964c454e934b9799717de827ca1eee','far','',1,'2026-11-21T02:14:29.826166Z','2026-11-21T02:14:29.851092Z','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','fa:16:3e:de:cc:65','[{"subnet_id":"74e45acb-c086-424f-b0f6-7c79e100d847","ip":"10.0.0.4"}]',1,'DOWN','no interface on this host has external_ids:iface-id=50fb86ac-d6e9-40b5-9c1c-ade6b76bb160','','','["7c384b92-c75b-4b8d-b13c-05b800d3ea98"]',1,'[]','hv2','normal','{}',NULL);
INSERT INTO "ports" VALUES('820b634a-67f8-40a6-8852-83aff27deb93','19964c454e934b9799717de827ca1eee','side','',1,'2026-11-21T02:14:29.830475Z','2026-11-21T02:14:29.864727Z','f46856cf-09a6-4704-aa9c-4fcf5daef065','fa:16:3e:4d:d4:e4','[{"subnet_id":"8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa","ip":"10.0.1.2"}]',1,'DOWN','no interface on this host has external_ids:iface-id=820b634a-67f8-40a6-8852-83aff27deb93','','','["62c3cae5-9b5a-4022-80de-7911e5f3d205"]',1,'[]','hv2','normal','{}',NULL);
INSERT INTO "ports" VALUES('ac2a12f3-3233-4107-bf54-c65752edff69','19964c454e934b9799717de827ca1eee','wired','',1,'2026-11-21T02:14:29.839724Z','2026-11-21T02:14:29.874064Z','6a1d8723-08e2-4098-be5c-38e489c928fa','fa:16:3e:2d:84:b6','[{"subnet_id":"8f5ea480-531a-410b-bf04-e06fe75ce082","ip":"198.51.100.2"}]',1,'DOWN','no interface on this host has external_ids:iface-id=ac2a12f3-3233-4107-bf54-c65752edff69','','','["62c3cae5-9b5a-4022-80de-7911e5f3d205"]',1,'[]','hv1','normal','{}',NULL);
INSERT INTO "ports" VALUES('9b8d89a7-5b99-4416-bf67-0ddda13378aa','','','',0,'2026-11-21T02:14:29.853528Z','2026-11-21T02:14:29.853528Z','151e6ecd-a258-4b97-aa5c-8be0136bcc44','fa:16:3e:a4:c6:1a','[{"subnet_id":"b9f59646-fd4c-49c0-a931-afae4a602f6f","ip":"203.0.113.2"}]',1,'DOWN','','10a351fd-9632-4783-8175-b800d5755314','network:router_gateway','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('4277b48a-8011-4e84-bf00-01b325f4643c','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.866621Z','2026-11-21T02:14:29.866621Z','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1','fa:16:3e:2d:10:c9','[{"subnet_id":"74e45acb-c086-424f-b0f6-7c79e100d847","ip":"10.0.0.1"}]',1,'DOWN','','10a351fd-9632-4783-8175-b800d5755314','network:router_interface','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('6139d711-953c-4390-a0d7-840028fd9330','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.878217Z','2026-11-21T02:14:29.878217Z','f46856cf-09a6-4704-aa9c-4fcf5daef065','fa:16:3e:fd:53:bf','[{"subnet_id":"8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa","ip":"10.0.1.1"}]',1,'DOWN','','10a351fd-9632-4783-8175-b800d5755314','network:router_interface','[]',0,'[]','','normal','{}',NULL);
INSERT INTO "ports" VALUES('0f6992d6-7256-4d8a-9477-173ff534d93f','','','',0,'2026-11-21T02:14:29.889062Z','2026-11-21T02:14:29.889062Z','151e6ecd-a258-4b97-aa5c-8be0136bcc44','fa:16:3e:ee:2a:ae','[{"subnet_id":"b9f59646-fd4c-49c0-a931-afae4a602f6f","ip":"203.0.113.3"}]',1,'DOWN','','ad414dcb-3a0c-4fff-8ef9-c339cb1433b3','network:floatingip','[]',0,'[]','','normal','{}',NULL);
CREATE TABLE projects (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (id)
);
INSERT INTO "projects" VALUES('19964c454e934b9799717de827ca1eee','admin','The cloud''s operators.',1);
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
INSERT INTO "qos_policies" VALUES('f64e2c55-ea70-45a4-8b83-5b9a03efd2d2','19964c454e934b9799717de827ca1eee','tight','',3,'2026-11-21T02:14:29.782254Z','2026-11-21T02:14:29.801090Z',0,0);
CREATE TABLE role_assignments (
	user_id TEXT NOT NULL, 
	project_id TEXT NOT NULL, 
	role_id TEXT NOT NULL, 
	CONSTRAINT pk_role_assignments PRIMARY KEY (user_id, project_id, role_id)
);
INSERT INTO "role_assignments" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','428bfe30d2074392a289185d97979377');
INSERT INTO "role_assignments" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','4dae4d34ef9c4b9785ac9e6d94f2fb05');
INSERT INTO "role_assignments" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','379535f7ef5641f9836de2a1ca837e13');
INSERT INTO "role_assignments" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','6686bf530db94c909a01cc0feac393b1');
INSERT INTO "role_assignments" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','a7de4b178d684feda97bebc3fb603889');
CREATE TABLE roles (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	CONSTRAINT pk_roles PRIMARY KEY (id)
);
INSERT INTO "roles" VALUES('428bfe30d2074392a289185d97979377','admin','');
INSERT INTO "roles" VALUES('4dae4d34ef9c4b9785ac9e6d94f2fb05','manager','');
INSERT INTO "roles" VALUES('379535f7ef5641f9836de2a1ca837e13','member','');
INSERT INTO "roles" VALUES('6686bf530db94c909a01cc0feac393b1','reader','');
INSERT INTO "roles" VALUES('a7de4b178d684feda97bebc3fb603889','service','');
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
INSERT INTO "routers" VALUES('10a351fd-9632-4783-8175-b800d5755314','19964c454e934b9799717de827ca1eee','r1','',3,'2026-11-21T02:14:29.853528Z','2026-11-21T02:14:29.878217Z',1,'151e6ecd-a258-4b97-aa5c-8be0136bcc44','9b8d89a7-5b99-4416-bf67-0ddda13378aa',1,'[]');
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
INSERT INTO "security_group_rules" VALUES('7e665d85-3752-4590-9b20-42041c7fbd00','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','62c3cae5-9b5a-4022-80de-7911e5f3d205','egress','IPv6',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('d5008640-c984-4154-b687-96af8f22984d','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','62c3cae5-9b5a-4022-80de-7911e5f3d205','egress','IPv4',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('efa12119-e713-45b0-b2a5-33ea850aacbf','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','62c3cae5-9b5a-4022-80de-7911e5f3d205','ingress','IPv6',NULL,NULL,NULL,NULL,'62c3cae5-9b5a-4022-80de-7911e5f3d205');
INSERT INTO "security_group_rules" VALUES('ab75da40-802c-4c4c-ba00-9f7fa55b1417','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','62c3cae5-9b5a-4022-80de-7911e5f3d205','ingress','IPv4',NULL,NULL,NULL,NULL,'62c3cae5-9b5a-4022-80de-7911e5f3d205');
INSERT INTO "security_group_rules" VALUES('56b0c24f-2100-48d5-bb73-21384fa0ce9f','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','7c384b92-c75b-4b8d-b13c-05b800d3ea98','egress','IPv6',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('70c861e1-3d32-48f2-9731-d9356b02c6e5','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z','7c384b92-c75b-4b8d-b13c-05b800d3ea98','egress','IPv4',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "security_group_rules" VALUES('d58d150f-a2cf-48f7-944c-d7a41fdd3072','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.762684Z','2026-11-21T02:14:29.762684Z','7c384b92-c75b-4b8d-b13c-05b800d3ea98','ingress','IPv4','tcp',80,89,'0.0.0.0/0',NULL);
INSERT INTO "security_group_rules" VALUES('231f5d81-997c-46bf-9a29-007712efec43','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.767998Z','2026-11-21T02:14:29.767998Z','7c384b92-c75b-4b8d-b13c-05b800d3ea98','ingress','IPv4',NULL,NULL,NULL,NULL,'7c384b92-c75b-4b8d-b13c-05b800d3ea98');
INSERT INTO "security_group_rules" VALUES('3b946851-6c14-4ea2-a780-bad4c19462f2','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.774764Z','2026-11-21T02:14:29.774764Z','7c384b92-c75b-4b8d-b13c-05b800d3ea98','ingress','IPv4','icmp',NULL,NULL,NULL,NULL);
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
INSERT INTO "security_groups" VALUES('62c3cae5-9b5a-4022-80de-7911e5f3d205','19964c454e934b9799717de827ca1eee','default','Default security group',0,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.754147Z',1);
INSERT INTO "security_groups" VALUES('7c384b92-c75b-4b8d-b13c-05b800d3ea98','19964c454e934b9799717de827ca1eee','web','',3,'2026-11-21T02:14:29.754147Z','2026-11-21T02:14:29.774764Z',0);
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
INSERT INTO "subnets" VALUES('74e45acb-c086-424f-b0f6-7c79e100d847','19964c454e934b9799717de827ca1eee','blue','',0,'2026-11-21T02:14:29.733445Z','2026-11-21T02:14:29.733445Z','9ccd19b3-9f64-4ca4-b824-61cadcea9fa1',4,'10.0.0.0/24','10.0.0.1',1,'[{"start":"10.0.0.2","end":"10.0.0.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('8ca7e6f3-51f8-42d1-a21e-47fea00ccbaa','19964c454e934b9799717de827ca1eee','green','',0,'2026-11-21T02:14:29.741592Z','2026-11-21T02:14:29.741592Z','f46856cf-09a6-4704-aa9c-4fcf5daef065',4,'10.0.1.0/24','10.0.1.1',1,'[{"start":"10.0.1.2","end":"10.0.1.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('8f5ea480-531a-410b-bf04-e06fe75ce082','19964c454e934b9799717de827ca1eee','wire','',0,'2026-11-21T02:14:29.745731Z','2026-11-21T02:14:29.745731Z','6a1d8723-08e2-4098-be5c-38e489c928fa',4,'198.51.100.0/24','198.51.100.1',1,'[{"start":"198.51.100.2","end":"198.51.100.254"}]','[]','[]',NULL,NULL);
INSERT INTO "subnets" VALUES('b9f59646-fd4c-49c0-a931-afae4a602f6f','19964c454e934b9799717de827ca1eee','','',0,'2026-11-21T02:14:29.749942Z','2026-11-21T02:14:29.749942Z','151e6ecd-a258-4b97-aa5c-8be0136bcc44',4,'203.0.113.0/24','203.0.113.1',0,'[{"start":"203.0.113.2","end":"203.0.113.254"}]','[]','[]',NULL,NULL);
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
INSERT INTO "tokens" VALUES('68829f6fe85fab13fca6737ffbee9686ee49932a58b439bdcf59191a595d0f3f','b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','["admin","manager","member","reader","service"]','CXCEt_sukhFOwbOeKX4ccg','2026-11-21T02:14:28.834424Z','2026-11-21T14:14:28.834424Z');
INSERT INTO "tokens" VALUES('d146a1344837acad26b684cff707a745bbb350c082612834ac27084d0211cff2','b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','["admin","manager","member","reader","service"]','BmbQtFXhylpn1olJFB0rOQ','2026-11-21T02:14:28.836629Z','2026-11-21T14:14:28.836629Z');
INSERT INTO "tokens" VALUES('0a1b8bd0bbdc47e804dd7d99ab2ab8525cf6c7f29034658c9a2de5a278dc64be','b45725bd7cfd4742b4989f7c96b60c7f','19964c454e934b9799717de827ca1eee','["admin","manager","member","reader","service"]','qy_5lfB_rv5w44C8h5Njug','2026-11-21T02:14:29.612958Z','2026-11-21T14:14:29.612958Z');
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
INSERT INTO "users" VALUES('b45725bd7cfd4742b4989f7c96b60c7f','admin','scrypt$15$8$1$H5YDQnEd7P5s4yio+nco6A==$qRtBEESeRX7P0tc1OpQIsbNUTgTk6AfV/K4Ew8dlfwA=','','',1,'19964c454e934b9799717de827ca1eee');
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
